"""How many terminals a sandbox has room for, and which of them goes when there is none left."""

from pytest_fargate_sandbox.server.terminal_protocol import MAX_TERMINALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from pytest_fargate_sandbox.server.commands.command import Command

_IN_USE = 8
"""The most recently used of them never go."""


def terminals_of(commands: "Iterable[Command]") -> "list[Command]":
    return [command for command in commands if command.terminal]


def who_goes(terminals: "list[Command]") -> "Command | None":
    """Ended ones first, then the one that nobody typed on, and that said nothing, for the longest."""
    if len(terminals) < MAX_TERMINALS:
        return None
    idle = sorted(terminals, key=lambda command: command.used_at)[:-_IN_USE]
    ended = [command for command in idle if command.ended]
    return (ended or idle)[0]

"""The terminals of a workspace, by their names."""

from __future__ import annotations

import logging
import shlex
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.sandbox.exec.command_arguments import check_environment
from pytest_fargate_sandbox.sandbox.terminals.screen import check_size
from pytest_fargate_sandbox.server.terminal_protocol import MAX_TERMINALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.exec.process import Guard
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

_logger = logging.getLogger(__name__)

BEST_SHELL = "command -v bash >/dev/null && exec bash; exec sh"
_SHELLS = {"sh", "bash", "dash", "ash"}
_ENVIRONMENT = {"TERM": "xterm-256color"}
_WARN_AT = 60


class OpenTerminals:
    """Each name stands for one terminal that lives."""

    def __init__(self) -> None:
        self._by_name: dict[str, Terminal | None] = {}
        self._lock = threading.Lock()

    def open(
        self,
        client: ExecClient,
        guard: Guard,
        name: str,
        width: int,
        height: int,
        command: str | Sequence[str] | None,
        *,
        env: Mapping[str, str | None] | None,
        user: str | None,
        cwd: str | None,
    ) -> Terminal:
        from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

        check_size(width, height)
        own = check_environment(env)
        self._reserve(name)
        try:
            process = client.spawn_on_terminal(
                BEST_SHELL if command is None else command,
                (width, height),
                env={**_ENVIRONMENT, **own},
                user=user,
                cwd=cwd,
                guard=guard,
            )
            if process.terminals >= _WARN_AT:
                sentence = "%d terminals are open in this sandbox; the %dth ends the one that is idle for the longest"
                _logger.warning(sentence, process.terminals, MAX_TERMINALS + 1)
            try:
                terminal = Terminal(process, name, width, height, has_shell=_is_shell(command))
            except BaseException:  # no emulator is installed, or the shell never prompts
                process.kill()
                raise
        except BaseException:
            with self._lock:
                del self._by_name[name]
            raise
        with self._lock:
            self._by_name[name] = terminal
        return terminal

    def all(self) -> list[Terminal]:
        """Those that were opened last under their names, whether they live or not."""
        with self._lock:
            return [terminal for terminal in self._by_name.values() if terminal]

    def close(self) -> None:
        """The sandbox is gone, or let go of: nobody listens any more."""
        for terminal in self.all():
            terminal.abandon()

    def _reserve(self, name: str) -> None:
        with self._lock:
            known = self._by_name.get(name)
            if name in self._by_name and (known is None or known.is_alive):
                raise ValueError(f"a terminal of the name {name!r} is open already")
            self._by_name[name] = None


def _is_shell(command: str | Sequence[str] | None) -> bool:
    """Whether it has a prompt that can be made to tell where it stands."""
    if command is None:
        return True
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError:  # quotes that are not closed, as its shell will say
        return False
    if words and words[0].rpartition("/")[2] == "busybox":
        words = words[1:]
    is_shell = bool(words) and words[0].rpartition("/")[2] in _SHELLS
    return is_shell and "-c" not in words and all(word.startswith("-") for word in words[1:])  # else it runs a script

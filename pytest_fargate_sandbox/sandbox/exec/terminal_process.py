"""A command in the background that has a terminal: typed on, resized, and asked who reads what is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.sandbox.exec.process import Guard, Process
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.terminal_protocol import Terminal, TerminalState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls


class TerminalProcess(Process):
    """``notes`` is a pipe beside its terminal: what is written there comes as its stderr. ``script`` is its file."""

    def __init__(
        self, calls: ExecCalls, command_id: str, spawned: protocol.Spawned, command: str | Sequence[str], guard: Guard
    ) -> None:
        super().__init__(calls, command_id, spawned.pid, command, guard)
        self.notes = spawned.notes
        self.script = spawned.script
        self.terminals = spawned.terminals
        """How many the sandbox had, this one among them."""

    def write_script(self, script: str) -> None:
        """What its shell reads next from its file."""
        request = file_protocol.WriteFile(id=file_protocol.new_upload_id(), path=self.script, mode=0o644)
        data = script.encode("utf-8", "surrogateescape")

        calls = self._calls.in_slot(None)  # it lies beside those of the server's own

        def send() -> None:
            with calls.open(request, [data]) as answer:
                answer.read_message(protocol.Nothing)

        self._guard.through(lambda: calls.persistently(send))

    def state(self, columns: int = 0, rows: int = 0) -> TerminalState:
        """How the terminal stands, with another size if one is given."""
        request = Terminal(id=self.id, columns=columns, rows=rows)
        state = self._guard.through(lambda: self._calls.ask(request, TerminalState))
        assert isinstance(state, TerminalState)
        return state

    def signal_foreground(self, number: int, group: int = 0) -> None:
        """Send a signal to whoever reads what is typed; to this process group, if one is given, or to nobody."""
        self._send_signal(protocol.Signal(id=self.id, signal=int(number), foreground=True, group=group))

    def signal_tree(self, number: int) -> None:
        self._send_signal(protocol.Signal(id=self.id, signal=int(number), tree=True))

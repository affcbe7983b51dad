"""A shell that lives on between tool calls, and the terminal that it is on: one for each slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolResult
from pytest_fargate_sandbox.sandbox.terminals.terminal_shell import NOT_AT_PROMPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

MOST_CHARACTERS = 50_000
"""Of each stream of a command, and of a screen."""

_COLUMNS = (20, 120, 500)
_ROWS = (10, 40, 200)
"""The least, what it is if nothing is said, and the most."""

_ENTERS = ("Enter", "C-m", "KPEnter")
_NAME = "tools"


class TerminalTool:
    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._terminal: Terminal | None = None
        self._size = (_COLUMNS[1], _ROWS[1])
        self._is_without_network = False
        self._streamed = 0

    def forget(self) -> None:
        self._terminal = None

    def run(self, args: Mapping[str, Any], timeout: float) -> ToolResult:
        """``bash_stateful``: a command in the shell; one that runs out of time takes the shell with it."""
        command = str(args.get("command") or "").strip()
        if not command:
            return ToolResult(False, error="Missing command")
        refusal = self._refusal(args)
        if refusal:
            return refusal
        facts = {**self._facts(), "network_isolated": self._slot.network == "none"}
        try:
            done = self._ran(args, command, timeout)
        except SandboxError as trouble:
            if trouble.context.get("kind") != NOT_AT_PROMPT:
                raise
            return ToolResult(False, error=trouble.message, metadata=facts)
        output = shortened(done.stdout.strip(), MOST_CHARACTERS)
        if done.timed_out:
            self._stop()
            facts.update(exit_code=-1, timeout=True)
            return ToolResult(False, output, f"Command timed out after {timeout}s", metadata=facts)
        error = "" if done.ok else f"Exit code: {done.return_code}"
        return ToolResult(done.ok, output, error, metadata={**facts, "exit_code": done.return_code})

    def _ran(self, args: Mapping[str, Any], command: str, timeout: float) -> ExecResult:
        terminal = self._shell(args)
        try:
            return terminal.run(command, timeout)
        except SandboxError:
            if terminal.exit_code is None:
                raise
            return self._shell(args).run(command, timeout)  # it was about to end, and has begun nothing

    def act(self, args: Mapping[str, Any], timeout: float) -> ToolResult:
        """``tmux``: start, send_keys, capture, stream, stop."""
        action = str(args.get("action") or "capture").strip().lower()
        if action == "stop":
            self._stop()
            return ToolResult(True, "stopped", metadata={"stateful": True})
        act = {"start": self._start, "send_keys": self._send_keys, "capture": self._capture, "stream": self._stream}
        if action not in act:
            return ToolResult(False, error=f"Unknown tmux action: {action}")
        return self._refusal(args) or act[action](args, timeout)

    # --- actions ----------------------------------------------------------------------------------------------------
    def _start(self, args: Mapping[str, Any], _timeout: float) -> ToolResult:
        self._shell(args)
        self._streamed = 0
        width, height = self._size
        facts = {"pane_width": width, "pane_height": height, "session": _NAME, "recording": _NAME}
        return ToolResult(True, "started", metadata={**self._facts(), **facts})

    def _send_keys(self, args: Mapping[str, Any], timeout: float) -> ToolResult:
        given = args.get("keys")
        keys = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else None
        if keys is None or not all(isinstance(key, str) for key in keys):
            return ToolResult(False, error="tmux send_keys requires 'keys' as string or list[string]")
        blocks, longest = bool(args.get("block")), float(args.get("max_wait_s") or timeout)
        if blocks and (not keys or keys[-1] not in _ENTERS):
            keys.append("Enter")
        try:
            self._shell(args).send_keys(keys, blocks, float(args.get("min_wait_s") or 0), longest)
        except TimeoutError:
            self._stop()
            return ToolResult(False, error=f"tmux blocked keys timed out after {longest}s", metadata=self._facts())
        return ToolResult(True, "ok", metadata={**self._facts(), "blocked": blocks})

    def _capture(self, args: Mapping[str, Any], _timeout: float) -> ToolResult:
        entire = bool(args.get("capture_entire"))
        text = shortened(self._shell(args).capture(entire), MOST_CHARACTERS)
        return ToolResult(True, text, metadata={**self._facts(), "capture_entire": entire})

    def _stream(self, args: Mapping[str, Any], _timeout: float) -> ToolResult:
        """Whole lines of the recording since the last call, of as many bytes as are asked for."""
        terminal = self._shell(args)
        if args.get("reset"):
            self._streamed = 0
        most = _clamped(args.get("max_bytes"), (1, MOST_CHARACTERS, 4 * MOST_CHARACTERS))
        taken = []
        for line in terminal.stream(self._streamed)[0]:
            size = len(line.encode()) + 1
            if size > most:
                break
            most -= size
            self._streamed += size
            taken.append(line + "\n")
        facts = {"stream": True, "offset": self._streamed, "recording": _NAME}
        return ToolResult(True, "".join(taken), metadata={**self._facts(), **facts})

    # --- the shell --------------------------------------------------------------------------------------------------
    def _shell(self, args: Mapping[str, Any]) -> Terminal:
        """The one that lives; a new one if it ended, or if it is to have another network."""
        width = _clamped(args.get("pane_width"), (_COLUMNS[0], self._size[0], _COLUMNS[2]))
        height = _clamped(args.get("pane_height"), (_ROWS[0], self._size[1], _ROWS[2]))
        without_network = not args.get("allow_network", True)
        if without_network != self._is_without_network:
            self._stop()
        terminal = self._terminal
        if terminal is None or not terminal.is_alive:
            self._stop()
            terminal = self._terminal = self._slot.open_terminal(_NAME, width, height)
            self._streamed = 0
        elif (width, height) != self._size:
            terminal.resize(width, height)
        self._size, self._is_without_network = (width, height), without_network
        return terminal

    def _stop(self) -> None:
        terminal, self._terminal = self._terminal, None
        if terminal is None:
            return
        try:
            terminal.close()
        except TransportError:
            raise
        except SandboxError:
            pass  # it has ended by itself

    def _refusal(self, args: Mapping[str, Any]) -> ToolResult | None:
        slot = self._slot
        error = ""
        if args.get("require_stateful_sandbox", args.get("require_sandbox")) and slot.isolation == "none":
            error = "Stateful sandboxing required, but slots of this machine have isolation 'none'"
        elif not args.get("allow_network", True) and slot.network != "none":
            error = refused_network(slot)
        if not error:
            return None
        return ToolResult(False, error=error, metadata={**self._facts(), "requires_bwrap": True})

    def _facts(self) -> dict[str, Any]:
        isolation = self._slot.isolation
        return {"sandboxed": isolation != "none", "isolation": isolation, "stateful": True}


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "\n... (output truncated)"


def refused_network(slot: Slot) -> str:
    return (
        "Network isolation requested, but this slot shares the machine's network: that takes isolation 'namespace' "
        f"and network='none' when it is leased (its isolation is {slot.isolation!r})"
    )


def _clamped(value: Any, bounds: tuple[int, int, int]) -> int:
    least, default, most = bounds
    try:
        return max(least, min(most, int(value)))
    except (TypeError, ValueError, OverflowError):
        return default

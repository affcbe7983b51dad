"""The tools that a harness gives a model, carried out in a slot: a shell, files, a terminal."""

from __future__ import annotations

import json
import posixpath
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import RemoteFileError, RemoteFileNotFound
from pytest_fargate_sandbox.sandbox.slots.terminal_tool import MOST_CHARACTERS, TerminalTool, refused_network, shortened
from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

MOST_FILE_BYTES = 100_000
"""Of a file that is read or written by a tool."""

_REMEMBERED = 1000


class SlotTools:
    """Calls in a slot take turns."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._turn = threading.Lock()
        self._done: OrderedDict[str, ToolResult] = OrderedDict()
        self._terminal = TerminalTool(slot)
        self._tools: dict[str, Callable[[Mapping[str, Any], float], ToolResult]] = {
            "bash": self._bash,
            "bash_stateful": self._terminal.run,
            "read_file": self._read_file,
            "write_file": self._write_file,
            "tmux": self._terminal.act,
        }
        self.current_execution_id: str | None = None
        self.is_executing = False

    def call(self, name: str, args: Mapping[str, Any], timeout: float, execution_id: str | None) -> ToolResult:
        with self._turn:
            key = execution_id and json.dumps([execution_id, name, args], sort_keys=True, default=str)
            if key and key in self._done:
                return self._done[key]
            self.is_executing, self.current_execution_id = True, execution_id
            try:
                result = replace(self._carry_out(name, args, timeout), execution_id=execution_id)
            finally:
                self.is_executing, self.current_execution_id = False, None
            if key:
                self._done[key] = result
                while len(self._done) > _REMEMBERED:
                    self._done.popitem(last=False)
            return result

    def forget(self) -> None:
        """The slot is as new: so are its tools."""
        self._done.clear()
        self._terminal.forget()

    def _carry_out(self, name: str, args: Any, timeout: float) -> ToolResult:
        tool = self._tools.get(name)
        if tool is None:
            return ToolResult(False, error=f"Unknown tool: {name}")
        if not isinstance(args, Mapping):
            return ToolResult(False, error=f"{name}: arguments are a mapping of names to values, not {args!r:.80}")
        try:
            return tool(args, timeout)
        except (TypeError, ValueError) as error:  # an argument that is none
            return ToolResult(False, error=f"{name}: {error}")

    # --- a command --------------------------------------------------------------------------------------------------
    def _bash(self, args: Mapping[str, Any], timeout: float) -> ToolResult:
        slot = self._slot
        sandboxed = slot.isolation != "none"
        without_network = not args.get("allow_network", True)
        facts: dict[str, Any] = {"sandboxed": sandboxed, "network_isolated": slot.network == "none"}
        if not sandboxed:
            facts["sandbox_fallback"] = True
        if args.get("require_sandbox") and not sandboxed:
            sentence = "Sandboxing required, but slots of this machine have isolation 'none'"
            return ToolResult(False, error=sentence, metadata={**facts, "requires_bwrap": True})
        if without_network and slot.network != "none":
            return ToolResult(False, error=refused_network(slot), metadata={**facts, "requires_bwrap": True})
        done = slot.exec(str(args.get("command", "")), timeout, max_output_bytes=4 * MOST_CHARACTERS)
        streams = [shortened(text, MOST_CHARACTERS) for text in (done.stdout, done.stderr)]
        output = "\n[stderr]\n".join(text for text in streams if text).strip()
        if done.timed_out:
            facts.update(exit_code=-1, timeout=True)
            return ToolResult(False, output, f"Command timed out after {timeout}s", metadata=facts)
        error = "" if done.ok else f"Exit code: {done.return_code}"
        return ToolResult(done.ok, output, error, metadata={**facts, "exit_code": done.return_code})

    # --- files ------------------------------------------------------------------------------------------------------
    def _read_file(self, args: Mapping[str, Any], _timeout: float) -> ToolResult:
        path = str(args.get("path", ""))
        try:
            found = self._slot.artifacts.read(path, bytes, MOST_FILE_BYTES)
        except RemoteFileError as error:
            return ToolResult(False, error=_file_error(error, path))
        if found.truncated:
            return ToolResult(False, error=f"File too large: {found.file_size} bytes (max {MOST_FILE_BYTES})")
        assert isinstance(found.content, bytes)
        text = found.content.decode("utf-8", "replace")
        return ToolResult(True, text, metadata={"path": self._at(path), "size": found.bytes})

    def _write_file(self, args: Mapping[str, Any], _timeout: float) -> ToolResult:
        path, content = str(args.get("path", "")), str(args.get("content", ""))
        data = content.encode("utf-8", "surrogateescape")
        if len(data) > MOST_FILE_BYTES:
            return ToolResult(False, error=f"Content too large: {len(data)} bytes (max {MOST_FILE_BYTES})")
        try:
            self._refuse_what_leaves(path)
            self._slot.write_file(path, data)
        except RemoteFileError as error:
            return ToolResult(False, error=_file_error(error, path))
        sentence = f"Successfully wrote {len(data)} bytes to {path}"
        return ToolResult(True, sentence, metadata={"path": self._at(path), "size": len(data)})

    def _refuse_what_leaves(self, path: str) -> None:
        """Also by a link. One that is changed meanwhile leads no further than the rights of the slot's user."""
        try:
            self._slot.artifacts.read(path, bytes, 1)
        except RemoteFileNotFound:
            pass

    def _at(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._slot.home, path))


def _file_error(error: RemoteFileError, path: str) -> str:
    kind = error.context.get("kind")
    said = {
        "not_found": f"File not found: {path}",
        "is_directory": f"Not a file: {path}",
        "permission": "Access denied: path outside workspace",
    }
    return said.get(str(kind), error.message)

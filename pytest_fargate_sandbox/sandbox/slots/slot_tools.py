"""The tools that a harness gives a model, carried out in a slot: a shell, files, a terminal."""

from __future__ import annotations

import contextlib
import json
import posixpath
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.call_arguments import check_seconds
from pytest_fargate_sandbox.leaves.errors import RemoteFileError, RemoteFileNotFound
from pytest_fargate_sandbox.sandbox.slots.terminal_tool import MOST_CHARACTERS, TerminalTool, refused_network, shortened
from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolRequest
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotRun

MOST_FILE_BYTES = 100_000
"""Of a file that is read or written by a tool."""

_REMEMBERED = 1000
_MOST_OUTPUT = 4 * MOST_CHARACTERS
"""Bytes of each stream: a character has four at most."""


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
        with self.turn(execution_id):
            key = _key(name, args, execution_id)
            if key in self._done:
                return self._done[key]
            return self._remembered(key, self._carry_out(name, args, timeout), execution_id)

    @contextlib.contextmanager
    def turn(self, execution_id: str | None) -> Iterator[None]:
        """While it is ours, no other call is carried out."""
        with self._turn:
            self.is_executing, self.current_execution_id = True, execution_id
            try:
                yield
            finally:
                self.is_executing, self.current_execution_id = False, None

    def _remembered(self, key: str, result: ToolResult, execution_id: str | None) -> ToolResult:
        result = replace(result, execution_id=execution_id)
        if key:
            self._done[key] = result
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        return result

    # --- many at once -----------------------------------------------------------------------------------------------
    def are_plain(self, requests: Sequence[ToolRequest]) -> bool:
        """Whether these are commands, of which none has been carried out and none stands there twice."""
        if not all(request.tool == "bash" and isinstance(request.args, Mapping) for request in requests):
            return False
        keys = [key for key in (_key(each.tool, each.args, each.execution_id) for each in requests) if key]
        return len(set(keys)) == len(keys) and self._done.keys().isdisjoint(keys)

    def begun(self, request: ToolRequest) -> SlotRun | ToolResult:
        """Its command, or why there is none."""
        try:
            refusal = self._refusal(request.args)
            command = str(request.args.get("command", ""))
            return refusal or self._slot.asked(command, request.timeout, _MOST_OUTPUT)
        except (TypeError, ValueError, OverflowError) as error:
            return ToolResult(False, error=f"bash: {error}", execution_id=request.execution_id)

    def ended(self, request: ToolRequest, done: ExecResult) -> ToolResult:
        key = _key(request.tool, request.args, request.execution_id)
        return self._remembered(key, self._result_of(done, request.timeout), request.execution_id)

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
        except (TypeError, ValueError, OverflowError) as error:  # an argument that is none
            return ToolResult(False, error=f"{name}: {error}")

    # --- a command --------------------------------------------------------------------------------------------------
    def _bash(self, args: Mapping[str, Any], timeout: float) -> ToolResult:
        refusal = self._refusal(args)
        if refusal:
            return refusal
        check_seconds("timeout", timeout)
        done = self._slot.exec(str(args.get("command", "")), timeout, max_output_bytes=_MOST_OUTPUT)
        return self._result_of(done, timeout)

    def _facts(self) -> dict[str, Any]:
        slot = self._slot
        facts = {
            "sandboxed": slot.isolation != "none",
            "isolation": slot.isolation,
            "network_isolated": slot.network == "none",
        }
        return facts if facts["sandboxed"] else {**facts, "sandbox_fallback": True}

    def _refusal(self, args: Mapping[str, Any]) -> ToolResult | None:
        slot = self._slot
        error = ""
        if args.get("require_sandbox") and slot.isolation == "none":
            error = "Sandboxing required, but slots of this machine have isolation 'none'"
        elif not args.get("allow_network", True) and slot.network != "none":
            error = refused_network(slot)
        return ToolResult(False, error=error, metadata={**self._facts(), "requires_bwrap": True}) if error else None

    def _result_of(self, done: ExecResult, timeout: float) -> ToolResult:
        facts = self._facts()
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


def _key(name: str, args: Any, execution_id: str | None) -> str:
    """By what a call is known again; nothing, if it has no id."""
    return json.dumps([execution_id, name, args], sort_keys=True, default=str) if execution_id else ""


def _file_error(error: RemoteFileError, path: str) -> str:
    kind = error.context.get("kind")
    said = {
        "not_found": f"File not found: {path}",
        "is_directory": f"Not a file: {path}",
        "permission": "Access denied: path outside workspace",
    }
    return said.get(str(kind), error.message)

"""Processes by handle, for the tool calls of agents: started, written to, and heard of for a while at a time."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.terminals.terminal_link import TerminalLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.exec.process import Guard, Process
    from pytest_fargate_sandbox.server.protocol import Result

_SIZE = (160, 40)
_SHORTEST_SEC, _LONGEST_SEC = 0.25, 30.0
_SHORTEST_POLL_SEC = 5.0
"""Of an empty write: who only asks again is in no hurry."""

_BYTES_PER_TOKEN = 4
"""As the OpenAI Agents SDK estimates it (``agents/sandbox/util/token_truncation.py``)."""

_MOST_UNREAD = 4 * 1024 * 1024
_FIRST_ID, _LAST_ID = 1_000, 99_999


@dataclass(frozen=True)
class PtyUpdate:
    """What a process said since the last update. Once it has ended it has an exit code, and no id any more.

    ``original_token_count`` is how many tokens its output had before it was cut to the budget; None if it was not cut.
    """

    process_id: int | None
    output: str
    exit_code: int | None
    original_token_count: int | None


class ToolTerminals:
    """Those of a workspace."""

    def __init__(self) -> None:
        self._known: dict[int, _Heard] = {}
        self._lock = threading.Lock()

    def start(
        self,
        client: ExecClient,
        guard: Guard,
        command: str | Sequence[str],
        yield_time_s: float,
        max_output_tokens: int | None,
        timeout: float | None,
        *,
        cwd: str | None,
        user: str | None,
        shell: str | None,
        tty: bool,
    ) -> PtyUpdate:
        words = [shell, "-c", command] if shell and isinstance(command, str) else command
        if tty:
            env = {"TERM": "xterm-256color"}
            process: Process = client.spawn_on_terminal(
                words, _SIZE, cwd=cwd, env=env, user=user, guard=guard, timeout=timeout
            )
        else:
            process = client.spawn(words, cwd=cwd, user=user, guard=guard, timeout=timeout)
        heard = _Heard(process)
        with self._lock:
            process_id = next(each for each in iter(_random_id, 0) if each not in self._known)
            self._known[process_id] = heard
        return self._update(process_id, heard, _clamped(yield_time_s), max_output_tokens)

    def write(self, process_id: int, chars: str, yield_time_s: float, max_output_tokens: int | None) -> PtyUpdate:
        with self._lock:
            heard = self._known.get(process_id)
        if heard is None:
            raise SandboxError(f"no process has the id {process_id!r}: it has ended, or was never started here")
        if chars:
            heard.write(chars)
        seconds = _clamped(yield_time_s)
        return self._update(
            process_id, heard, seconds if chars else max(seconds, _SHORTEST_POLL_SEC), max_output_tokens
        )

    def end(self, process_id: int | None) -> None:
        """That one, if it has not ended."""
        with self._lock:
            heard = self._known.pop(process_id, None) if process_id else None
        if heard:
            heard.end()

    def end_all(self) -> None:
        with self._lock:
            known, self._known = list(self._known.values()), {}
        for heard in known:
            heard.end()

    def abandon(self) -> None:
        """The sandbox is gone, or let go of."""
        with self._lock:
            for heard in self._known.values():
                heard.link.close()
            self._known.clear()

    def _update(self, process_id: int, heard: _Heard, seconds: float, budget: int | None) -> PtyUpdate:
        output, exit_code = heard.collect(seconds)
        if exit_code is not None:
            with self._lock:
                self._known.pop(process_id, None)
        text, count = cut_to_tokens(output.decode("utf-8", "replace"), budget)
        return PtyUpdate(process_id if exit_code is None else None, text, exit_code, count)


class _Heard:
    """A process, and what it said that nobody has read yet: of a flood, the end."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._changed = threading.Condition()
        self._unread = bytearray()
        self._exit_code: int | None = None
        self._error: SandboxError | None = None
        self.link = TerminalLink(process, str(process.pid), self)
        self.link.start()

    def said(self, screen: bytes, notes: bytes) -> None:
        with self._changed:
            self._unread += screen + notes
            del self._unread[:-_MOST_UNREAD]

    def ended(self, result: Result | None, error: SandboxError | None) -> None:
        with self._changed:
            self._exit_code, self._error = (result.return_code if result else None), error
            self._changed.notify_all()

    def write(self, chars: str) -> None:
        try:
            self._process.write(chars)
        except SandboxError as error:
            if error.context.get("kind") != "closed":
                raise  # else it does not read any more; what it said, and its end, are told

    def collect(self, seconds: float) -> tuple[bytes, int | None]:
        """What it has said once it has ended, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._exit_code is not None or self._error, seconds)
            if self._error:
                raise self._error
            output, self._unread = bytes(self._unread), bytearray()
            return output, self._exit_code

    def end(self) -> None:
        if self._exit_code is None and self._error is None:
            self._process.kill()
        self.link.close()


def cut_to_tokens(text: str, budget: int | None) -> tuple[str, int | None]:
    """``text``, its middle left out if it has more tokens than that, and how many it had."""
    raw = text.encode("utf-8", "replace")
    count = -(-len(raw) // _BYTES_PER_TOKEN)
    if budget is None or len(raw) <= budget * _BYTES_PER_TOKEN:
        return text, None
    most = max(0, budget) * _BYTES_PER_TOKEN
    marker = f"…{count - budget} tokens left out…".encode()
    room = max(0, most - len(marker))
    head, tail = raw[: room // 2], raw[len(raw) - (room - room // 2) :] if room else b""
    kept = head.decode("utf-8", "ignore") + marker[:most].decode("utf-8", "ignore") + tail.decode("utf-8", "ignore")
    return kept, count


def _clamped(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_SEC), _LONGEST_SEC)


def _random_id() -> int:
    return random.randint(_FIRST_ID, _LAST_ID)

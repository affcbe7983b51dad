"""Processes by handle for the OpenAI Agents SDK's tools: ours below, and its own rules of how much is told when."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from agents.sandbox.errors import PtySessionNotFoundError
from agents.sandbox.session.pty_output import collect_pty_output
from agents.sandbox.session.pty_types import (
    PTY_PROCESSES_MAX,
    PTY_PROCESSES_WARNING,
    PtyExecUpdate,
    allocate_pty_process_id,
    clamp_pty_yield_time_ms,
    process_id_to_prune_from_meta,
    resolve_pty_write_yield_time_ms,
)

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.exec.process import Process
from pytest_fargate_sandbox.sandbox.terminals.terminal_link import TerminalLink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fargate_sandbox.async_sandbox import AsyncSandbox
    from pytest_fargate_sandbox.server.protocol import Result

_SIZE = (160, 40)
_FIRST_YIELD_SEC, _NEXT_YIELD_SEC = 10.0, 0.25
_LEAST_KEPT, _MOST_PIECES = 4 * 1024 * 1024, 64
"""Of what nobody reads."""

_log = logging.getLogger("pytest_fargate_sandbox.adapters")


class AgentTerminals:
    """Those of a session. What breaks raises our errors."""

    def __init__(self, *, cleanup_sec: float) -> None:
        self._cleanup_sec = cleanup_sec
        self._known: dict[int, _Heard] = {}

    async def start(
        self,
        sandbox: AsyncSandbox,
        command: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        user: str | None,
        tty: bool,
        within_sec: float,
        yield_time_s: float | None,
        max_output_tokens: int | None,
    ) -> PtyExecUpdate:
        """``within_sec``: the program must have begun by then."""

        def spawn() -> Process:
            if tty:
                terminal_env = {"TERM": "xterm-256color", **env}
                return sandbox.blocking.spawn_on_terminal(command, _SIZE, cwd=cwd, env=terminal_env, user=user)
            return sandbox.blocking.spawn(command, cwd=cwd, env=env, user=user, stdin=b"")

        with anyio.fail_after(within_sec):
            process = await sandbox.threads.run(spawn, lambda: None, undo=Process.kill)
        heard = _Heard(sandbox, process, tty=tty)
        process_id = allocate_pty_process_id(set(self._known))
        self._known[process_id] = heard
        await self._make_room()
        if len(self._known) >= PTY_PROCESSES_WARNING:
            _log.warning("%d processes are open in one session; of more than %d the one that was idle for the longest "
                         "is ended", len(self._known), PTY_PROCESSES_MAX)  # fmt: skip
        seconds = _FIRST_YIELD_SEC if yield_time_s is None else yield_time_s
        return await self._update(process_id, heard, clamp_pty_yield_time_ms(int(seconds * 1000)), max_output_tokens)

    async def write(
        self,
        process_id: int,
        chars: str,
        *,
        within_sec: float,
        yield_time_s: float | None,
        max_output_tokens: int | None,
    ) -> PtyExecUpdate:
        heard = self._known.get(process_id)
        if heard is None:
            raise PtySessionNotFoundError(session_id=process_id)
        if chars:
            if not heard.tty:  # the SDK's tools know this one by its words
                raise RuntimeError("stdin is not available for this process")
            with anyio.fail_after(within_sec):
                await heard.write(chars)
        seconds = _NEXT_YIELD_SEC if yield_time_s is None else yield_time_s
        least = resolve_pty_write_yield_time_ms(yield_time_ms=int(seconds * 1000), input_empty=not chars)
        return await self._update(process_id, heard, least, max_output_tokens)

    async def end_all(self) -> None:
        known, self._known = list(self._known.values()), {}
        await asyncio.gather(*(self._end(heard) for heard in known))

    async def _make_room(self) -> None:
        if len(self._known) > PTY_PROCESSES_MAX:
            seen = [(number, heard.used_at, heard.is_over) for number, heard in self._known.items()]
            number = process_id_to_prune_from_meta(seen)
            if number is not None:
                await self._end(self._known.pop(number))

    async def _update(self, process_id: int, heard: _Heard, yield_ms: int, most: int | None) -> PtyExecUpdate:
        output, tokens, is_over = await collect_pty_output(
            output_chunks=heard.unread,
            output_lock=heard.lock,
            output_notify=heard.changed,
            is_done=lambda: heard.is_over,
            yield_time_ms=yield_ms,
            max_output_tokens=most,
        )
        heard.used_at = time.monotonic()
        if is_over:
            self._known.pop(process_id, None)
        if heard.error:
            raise heard.error
        return PtyExecUpdate(
            process_id=None if is_over else process_id,
            output=output,
            exit_code=heard.exit_code if is_over else None,
            original_token_count=tokens,
        )

    async def _end(self, heard: _Heard) -> None:
        with anyio.move_on_after(self._cleanup_sec, shield=True):
            try:
                await heard.end()
            except SandboxError as error:
                _log.debug("a process of a session could not be ended: %s", error)


class _Heard:
    """A process, and what it said that nobody has read yet: of a flood, the end."""

    def __init__(self, sandbox: AsyncSandbox, process: Process, *, tty: bool) -> None:
        self.tty = tty
        self.unread: deque[bytes] = deque()
        self.lock, self.changed = asyncio.Lock(), asyncio.Event()
        self.used_at = time.monotonic()
        self.is_over = False
        self.exit_code: int | None = None
        self.error: SandboxError | None = None
        self._threads, self._process, self._loop = sandbox.threads, process, asyncio.get_running_loop()
        self._link = TerminalLink(process, str(process.pid), self)
        self._link.start()

    # --- in the thread of the link -------------------------------------------------------------------------------

    def said(self, screen: bytes, notes: bytes) -> None:
        self._in_loop(self._hear, screen + notes)

    def ended(self, result: Result | None, error: SandboxError | None) -> None:
        self._in_loop(self._hear_end, result.return_code if result else None, error)

    def _in_loop(self, act: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody will ask any more
            self._loop.call_soon_threadsafe(act, *args)

    # --- in the loop ---------------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        """Nobody is woken by it: who collects takes it when his time is over, so that a flood stays within bounds."""
        if data:
            self.unread.append(data)
            if len(self.unread) > _MOST_PIECES or sum(map(len, self.unread)) > 2 * _LEAST_KEPT:
                kept = b"".join(self.unread)[-_LEAST_KEPT:]
                self.unread.clear()
                self.unread.append(kept)

    def _hear_end(self, exit_code: int | None, error: SandboxError | None) -> None:
        self.is_over, self.exit_code, self.error = True, exit_code, error
        self.changed.set()

    async def write(self, chars: str) -> None:
        try:
            await self._threads.run(lambda: self._process.write(chars), lambda: None)
        except SandboxError as error:
            if error.context.get("kind") != "closed":
                raise  # else it does not read any more; what it said, and its end, are told

    async def end(self) -> None:
        try:
            if not self.is_over:
                await self._threads.run(self._process.kill, lambda: None)
        finally:
            self._link.close()

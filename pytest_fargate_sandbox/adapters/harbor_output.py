"""A command whose output is told, as it comes, to who awaits it in the event loop."""

from __future__ import annotations

import asyncio
import codecs
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Future

    from pytest_fargate_sandbox.async_sandbox import AsyncSandbox
    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.exec_client import OutputChunk

_LAST_WORDS_SEC = 1.0
"""Behind the command's own time, for what it said before that."""


class NotTakenInTime(Exception):
    """By who was told of it."""


class OutputTeller:
    """Of one command. Its thread waits until each part is taken: nothing piles up, and it is out of time if none is."""

    def __init__(self, emit: Callable[[str, Any], Awaitable[None]]) -> None:
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._cancel = threading.Event()
        self._telling: Future[None] | None = None
        self._end = float("inf")

    async def exec(
        self, sandbox: AsyncSandbox, command: Sequence[str], timeout_sec: float | None, **options: Any
    ) -> ExecResult:
        """As the sandbox's own. Raises ``NotTakenInTime``."""
        if timeout_sec:
            self._end = time.monotonic() + timeout_sec
        run = functools.partial(sandbox.blocking.exec, command, timeout_sec, **options)
        told = functools.partial(run, on_output=self._hear, cancel=self._cancel)
        result = await sandbox.threads.run(told, self._give_up)
        for stream, decoder in self._decoders.items():  # what was begun of a character and came to no end
            if rest := decoder.decode(b"", final=True):
                await sandbox.threads.run(functools.partial(self._tell, rest, stream), self._give_up)
        return result

    def _hear(self, chunk: OutputChunk) -> None:
        if text := self._decoders[chunk.stream].decode(chunk):
            self._tell(text, chunk.stream)

    def _tell(self, text: str, stream: str) -> None:
        telling = self._telling = asyncio.run_coroutine_threadsafe(self._told(text, stream), self._loop)
        if self._cancel.is_set():
            telling.cancel()
        left = self._end - time.monotonic()
        try:
            telling.result(None if left == float("inf") else max(left, _LAST_WORDS_SEC))
        except TimeoutError:
            if telling.done():
                raise  # it is the listener's own
            telling.cancel()
            raise NotTakenInTime from None

    async def _told(self, text: str, stream: str) -> None:
        await self._emit(text, stream)

    def _give_up(self) -> None:
        self._cancel.set()
        if self._telling:
            self._telling.cancel()

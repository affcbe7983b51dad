"""A command's output, as it comes, for who awaits it in the event loop."""

from __future__ import annotations

import asyncio
import codecs
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_fargate_sandbox.sandbox.exec.exec_client import OutputChunk


class OutputTeller:
    """``hear`` is called in the command's own thread, and waits until each part of it is taken: nothing piles up."""

    def __init__(self, emit: Callable[[str, Any], Awaitable[None]]) -> None:
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}

    def hear(self, chunk: OutputChunk) -> None:
        text = self._decoders[chunk.stream].decode(chunk)
        if text:
            asyncio.run_coroutine_threadsafe(self._told(text, chunk.stream), self._loop).result()

    async def end(self) -> None:
        """What was begun of a character and came to no end."""
        for stream, decoder in self._decoders.items():
            if rest := decoder.decode(b"", final=True):
                await self._told(rest, stream)

    async def _told(self, text: str, stream: str) -> None:
        await self._emit(text, stream)

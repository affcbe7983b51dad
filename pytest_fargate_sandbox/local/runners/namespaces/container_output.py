"""What a container writes, on its way to the engine."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop

_LOG = logging.getLogger(__name__)
_CHUNK = 1 << 16


class ContainerOutput:
    """Reads a pipe in the loop's thread until it ends, or its container does."""

    def __init__(self, loop: Loop, pipe: int, on_output: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._pipe: int | None = pipe
        self._on_output = on_output
        self._lock = threading.Lock()
        os.set_blocking(pipe, False)
        loop.watch(pipe, self._take)

    def _take(self) -> None:
        with self._lock:
            self._read()

    def finish(self) -> None:
        """From any thread: the container is gone. Take what is in the pipe, but do not wait for who else holds it."""
        with self._lock:
            while self._read():
                pass
            self._close()

    def _read(self) -> bool:
        """Whether there may be more at once."""
        if self._pipe is None:
            return False
        try:
            chunk = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._close()
            return False
        try:
            self._on_output(chunk)
        except Exception:
            _LOG.exception("A container's output could not be taken")
        return True

    def _close(self) -> None:
        if self._pipe is not None:
            self._loop.forget(self._pipe)
            os.close(self._pipe)
            self._pipe = None

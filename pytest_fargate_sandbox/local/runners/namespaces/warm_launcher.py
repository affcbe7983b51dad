"""The launcher as the engine sees it: started, given orders, heard of, and not waited for where it hangs."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.process_identity import identity_of, is_stopped
from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel
from pytest_fargate_sandbox.local.runners.namespaces.scratch import LAUNCHER_NOTE
from pytest_fargate_sandbox.local.runners.namespaces.sealed_program import start_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Message

_MODULE = "pytest_fargate_sandbox.local.runners.namespaces.launcher"
_KEPT = ("PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", "TMPDIR")
_PATIENCE = 30.0
_LOOK_SEC = 1.0
_STOPPED_LOOKS = 2
"""A process that is stopped may be continued in a moment."""


class LauncherFailed(Exception):
    """The launcher did not come up, or does not answer; the text has its last words."""


class WarmLauncher:
    """One process of it. ``on_gone`` is told the tasks whose holders have ended, ``on_end`` that it has itself."""

    def __init__(self, scratch: Path, loop: Loop, on_gone: Callable[[str], None], on_end: Callable[[], None]) -> None:
        self._loop, self._on_gone, self._on_end = loop, on_gone, on_end
        self._words = scratch / "launcher.err"
        self._ready: Future[None] = Future()
        self._lock = threading.Lock()
        self.ended = threading.Event()
        """Set when we have heard of its end, and ``on_end`` was called."""
        self._channel, self._process = self._start(scratch)
        # For whoever sweeps behind an engine that was killed: a launcher that is stopped does not hear of that.
        (scratch / LAUNCHER_NOTE).write_text(json.dumps(identity_of(self.pid)), encoding="utf-8")
        loop.watch(self._channel.fileno(), self._hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def came_up(self) -> bool:
        return self._ready.done() and self._ready.exception() is None

    def wait_ready(self) -> None:
        """Raises ``LauncherFailed``."""
        self.wait_for(self._ready, _PATIENCE)

    def wait_for(self, ordered: Future[None], seconds: float) -> None:
        """Its result; one that is stopped, or lets us wait so long, is killed."""
        stopped = 0
        for _ in range(int(seconds / _LOOK_SEC)):
            if wait([ordered], _LOOK_SEC).done:
                return ordered.result()
            stopped = stopped + 1 if is_stopped(self.pid) else 0
            if stopped == _STOPPED_LOOKS:
                break
        self._process.kill()
        raise LauncherFailed(f"the launcher of containers (process {self.pid}) did not answer, and was killed")

    def order(self, message: Message, *descriptors: int) -> None:
        """Raises ``OSError`` where it has ended."""
        with self._lock:
            self._channel.send(message, *descriptors)

    def close(self) -> None:
        """With all holders that are left."""
        if not self.ended.is_set():
            self._channel.end()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """When the loop runs no more, or knows it no more."""
        self._channel.close()

    def _start(self, scratch: Path) -> tuple[Channel, subprocess.Popen[bytes]]:
        ours, theirs = Channel.pair()
        with self._words.open("wb") as words:
            process = start_module(
                _MODULE,
                str(theirs.fileno()),
                str(scratch),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[theirs.fileno()],
                env=_clean_environment(),
                cwd="/",
                start_new_session=True,  # a Ctrl-C is for the engine, which then ends its tasks in order
            )
        theirs.close()
        return ours, process

    def _hear(self) -> None:
        received = self._channel.receive()
        if received is None:
            self._hear_of_its_end()
        elif "ready" in received[0]:
            self._ready.set_result(None)
        else:
            self._on_gone(received[0]["gone"])

    def _hear_of_its_end(self) -> None:
        self._loop.forget(self._channel.fileno())
        if not self._ready.done():
            words = self._words.read_text(errors="replace") if self._words.exists() else ""
            self._ready.set_exception(LauncherFailed(f"the launcher of containers has ended. {words}".strip()))
        self._on_end()
        self.ended.set()


def _clean_environment() -> dict[str, str]:
    """The launcher and the built-in sidecar need to find their modules, and nothing else of ours."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    return kept | {"PATH": os.defpath}

"""Who uses a local engine, and where he and it meet: an engine ends when nobody uses it any more.

Whoever uses it holds a shared lock on a file of its directory, from before the engine is looked for until the process
ends, however it ends. The engine waits for the exclusive one. An engine that hangs is ended by whoever of its users
meets that first, and the next one who asks starts another: never are there two for one directory. One that is stopped
cannot end, so who leaves looks for that.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.lock_at_once import taken_at_once
from pytest_fargate_sandbox.leaves.names import (
    ENV_ENGINE_DELAY,
    ENV_ENGINE_DIRECTORY,
    ENV_ENGINE_LOG,
    ENV_ENGINE_OPTIONS,
    VERSION,
)
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, is_somebody_elses
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.place.engine_process import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_log = logging.getLogger("pytest_fargate_sandbox.engine")

ENV_OF_ENGINE = (ENV_ENGINE_OPTIONS, ENV_ENGINE_LOG, ENV_ENGINE_DELAY)
"""What makes one engine different from another; those who agree in it share one."""

_ENDING_SEC = 30.0
"""An engine that ends gives its tasks a moment, and what runs them more."""

_used: dict[tuple[int, Path], int] = {}
_used_lock = threading.Lock()


def use_engine() -> Path:
    """Count as a user of the engine until this process ends, without starting one; its directory."""
    directory = engine_directory()
    _use(directory)
    return directory


def engine_directory() -> Path:
    """Where the engine is, or will be, with the environment as it stands."""
    chosen = os.environ.get(ENV_ENGINE_DIRECTORY)
    if chosen:
        directory, why = Path(chosen), ""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"cannot be made: {error.strerror}"
        if not why and is_somebody_elses(directory):
            why = "was made by another user, whose engine we would use"
        if why:
            text = f"{ENV_ENGINE_DIRECTORY}={chosen} {why}: set another directory"
            raise StartError(text, phase="engine", reason=text)
        return directory
    ways = [
        sys.executable,
        str(Path(__file__).parents[1]),
        VERSION,
        *(os.environ.get(name, "") for name in ENV_OF_ENGINE),
        _loopback(),
    ]
    return cache_directory("engines", hashlib.sha256("\0".join(ways).encode()).hexdigest()[:16])


def _loopback() -> str:
    """Which 127.0.0.1 we mean: a container that shares our cache directory has one of its own."""
    try:
        return os.readlink("/proc/self/ns/net")  # noqa: PTH115 - it names no file
    except OSError:
        return ""


def is_used_here(directory: Path) -> bool:
    """Whether this process is a user of the engine there."""
    return (os.getpid(), directory) in _used


def _use(directory: Path) -> None:
    """Hold the shared lock. While an engine is about to end it has the lock alone, and we wait for its end."""
    key = (os.getpid(), directory)
    with _used_lock:
        if key not in _used:
            descriptor = os.open(directory / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not outlast(directory, _ENDING_SEC, lambda: taken_at_once(descriptor, fcntl.LOCK_SH) or None):
                os.close(descriptor)
                text = f"somebody has locked {directory / 'users.lock'} for himself, and it is no engine"
                raise StartError(text, phase="engine", reason=text)
            if not _used:
                atexit.register(_leave)
            _used[key] = descriptor


def _leave() -> None:
    """Nobody may come behind us who would meet an engine that is stopped, and what it runs would stay."""
    for pid, directory in list(_used):
        process = EngineProcess.of(directory) if pid == os.getpid() else None
        if process is not None and process.stays_stopped():
            with contextlib.suppress(StartError):  # it is another user's
                process.end()


def outlast(directory: Path, seconds: float, probe: Callable[[], T | None]) -> T | None:
    """What ``probe`` returns when the engine there has started, or ended; one that stops or takes longer is killed."""

    def look() -> T | None:
        found = probe()
        process = EngineProcess.of(directory) if found is None else None
        if process is not None and process.stays_stopped():
            end_hung(process)
        return found

    try:
        return wait_until(look, deadline=seconds, what="an engine", longest_pause=0.1)
    except WaitTimeout:
        process = EngineProcess.of(directory)
        if process is not None:
            end_hung(process)
        return probe()


def end_hung(process: EngineProcess) -> None:
    _log.warning("%s hangs: it is killed, and its tasks with it; another takes its place", process.name)
    process.end()

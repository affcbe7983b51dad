"""Expensive work is done once, in whichever process of this machine comes first, or by a few of them at a time."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
_locks_lock = threading.Lock()


def once_for_all(
    directory: Path, key: str, produce: Callable[[], Any], *, success_since: float = 0.0, failure_since: float = 0.0
) -> Any:
    """``produce()``, a JSON value, made by the first who asks for ``key`` in this directory while the others wait.

    Its failure is shared like its success. What is recorded counts if it is not older than ``success_since``, or
    ``failure_since``. An interrupt is nobody's failure, and the lock dies with its holder: the next one who waits tries
    again at once.
    """
    from pytest_fargate_sandbox.leaves.file_lock import FileLock, patiently

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    result = directory / f"{key}.json"
    lock = FileLock(directory / f"{key}.lock")
    with _thread_lock(result), patiently(lock, f"what is made once for all in {directory} ({key})"):
        recorded = _recorded(result)
        if recorded is None or recorded["at"] < (failure_since if "error" in recorded else success_since):
            return _produced(produce, result)
    if "error" in recorded:
        raise SandboxError.from_dict(recorded["error"])
    return recorded["value"]


@contextmanager
def one_of(directory: Path, name: str, count: int) -> Iterator[None]:
    """Hold one of ``count`` places, which all processes of this machine share."""
    from pytest_fargate_sandbox.leaves.file_lock import FileLock, Timeout
    from pytest_fargate_sandbox.leaves.lock_holder import LONGEST_SEC, Waiting

    paths = [directory / f"{name}-{number}.lock" for number in range(count)]
    waiting = [Waiting(path, f"one of {count} places to build") for path in paths]

    def taken() -> FileLock | None:
        for path in paths:
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return lock
        if all(each.problem() for each in waiting):
            waiting[0].look()
        return None

    lock = wait_until(taken, deadline=LONGEST_SEC, what=f"one of {count} places to build")
    try:
        yield
    finally:
        lock.release()


def _thread_lock(result: Path) -> threading.Lock:
    with _locks_lock:
        return _locks[result]


def _recorded(result: Path) -> dict[str, Any] | None:
    try:
        recorded: dict[str, Any] = json.loads(result.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return recorded


def _produced(produce: Callable[[], Any], result: Path) -> Any:
    failure: SandboxError | None = None
    try:
        outcome = {"value": produce()}
    except SandboxError as error:
        failure = error
    except Exception as error:  # a bug, but everybody should show this one, and nobody should try in vain
        failure = SandboxError(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
    if failure is not None:
        outcome = {"error": failure.to_dict()}
    write_private(result, json.dumps({"at": time.time(), **outcome}))
    if failure is not None:
        raise failure
    return outcome["value"]

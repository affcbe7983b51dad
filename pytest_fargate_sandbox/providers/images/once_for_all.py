"""One at a time for each tag, in this process and in all others of this machine; and one result for all that waited."""

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

_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_locks_lock = threading.Lock()
_ONE_DAY_SEC = 86400.0


def once_for_all(
    directory: Path, key: str, produce: Callable[[], str], *, success_since: float, failure_since: float
) -> str:
    """What ``produce`` gives, or raises, for ``key``: called by one of those who ask, while the others wait.

    A recorded result counts if it is not older than ``success_since``, or ``failure_since``. The lock dies with its
    holder, so that a killed producer is replaced at once by one of those that wait.
    """
    from filelock import FileLock

    with _thread_lock(f"{directory}/{key}"), FileLock(directory / f"{key}.lock"):
        result = directory / f"{key}.json"
        recorded = _recorded(result)
        if recorded is not None and recorded["at"] < (failure_since if "error" in recorded else success_since):
            recorded = None
        if recorded is None:
            return _produced(produce, result)
    if "error" in recorded:
        raise SandboxError.from_dict(recorded["error"])
    return str(recorded["value"])


@contextmanager
def one_of(directory: Path, name: str, count: int) -> Iterator[None]:
    """Hold one of ``count`` places, which all processes of this machine share."""
    from filelock import FileLock, Timeout

    def taken() -> FileLock | None:
        for number in range(count):
            lock = FileLock(directory / f"{name}-{number}.lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return lock
        return None

    lock = wait_until(taken, deadline=_ONE_DAY_SEC, what=f"one of {count} places to build")
    try:
        yield
    finally:
        lock.release()


def _thread_lock(name: str) -> threading.Lock:
    with _locks_lock:
        return _locks[name]


def _recorded(result: Path) -> dict[str, Any] | None:
    try:
        recorded: dict[str, Any] = json.loads(result.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return recorded


def _produced(produce: Callable[[], str], result: Path) -> str:
    try:
        value = produce()
    except SandboxError as error:
        write_private(result, json.dumps({"at": time.time(), "error": error.to_dict()}))
        raise
    write_private(result, json.dumps({"at": time.time(), "value": value}))
    return value

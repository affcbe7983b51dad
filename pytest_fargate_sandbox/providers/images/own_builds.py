"""The builds that this process started, and is answerable for: they are stopped if it does not see their end."""

from __future__ import annotations

import atexit
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_stops: dict[str, Callable[[], None]] = {}
_lock = threading.Lock()
_stopped = threading.Event()


@contextmanager
def own(build_id: str, stop: Callable[[], None]) -> Iterator[None]:
    """``stop`` the build if the block does not end well: Ctrl-C, a time-out, the end of the process."""
    with _lock:
        _stops[build_id] = stop
    try:
        go_on()
        yield
    except BaseException:
        _stop(build_id)
        raise
    finally:
        with _lock:
            _stops.pop(build_id, None)


def go_on(pause: float = 0.0) -> None:
    """Sleep so long. Raises ImageBuildError as soon as builds are stopped."""
    if _stopped.wait(pause):
        raise ImageBuildError("the build was stopped, since the run that asked for it is ending", phase="STOPPED")


@contextmanager
def builds_stopped() -> Iterator[None]:
    """While the block runs, no build of this process goes on, and none begins."""
    _stopped.set()
    try:
        stop_own_builds()
        yield
    finally:
        _stopped.clear()


def stop_own_builds() -> None:
    """Stop the builds that this process started and that still run."""
    for build_id in list(_stops):
        _stop(build_id)


def _stop(build_id: str) -> None:
    stop = _stops.get(build_id)
    if stop is None:
        return
    try:
        stop()
    except AwsError:
        pass  # it ends by itself at its time-out; the error that brought us here says more


atexit.register(stop_own_builds)

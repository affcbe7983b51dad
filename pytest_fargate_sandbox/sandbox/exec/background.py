"""The handle that ``spawn`` gives: an exec server's process, and the sandbox that tells why it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.process import Process

T = TypeVar("T")


class Guard(Protocol):
    """What stands between a process and its sandbox's troubles."""

    def through(self, act: Callable[[], T]) -> T:
        """What ``act`` returns; a broken connection is explained."""

    def checked(self, result: ExecResult) -> ExecResult:
        """``result``, unless the command was killed because its task died."""


class BackgroundProcess:
    """A process that was left running. The sandbox ends it when it stops; ``kill`` ends it, and its children, now."""

    def __init__(self, process: Process, guard: Guard) -> None:
        self._process = process
        self._guard = guard

    def __repr__(self) -> str:
        return repr(self._process)

    @property
    def pid(self) -> int:
        """Its number inside the sandbox."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its return code, or None while it runs."""
        return self._guard.through(self._process.poll)

    def wait(self, timeout: float | None = None) -> ExecResult:
        """Its end, with all that it has said, whatever was read before; ``TimeoutError`` if that takes too long."""
        return self._guard.checked(self._guard.through(lambda: self._process.wait(timeout)))

    def read(self, *, timeout: float = 0.0) -> bytes:
        """What it has said on stdout since the last ``read``; waits up to ``timeout`` seconds for the first byte."""
        return self._guard.through(lambda: self._process.read(timeout=timeout))

    def read_stderr(self, *, timeout: float = 0.0) -> bytes:
        """The same for stderr."""
        return self._guard.through(lambda: self._process.read_stderr(timeout=timeout))

    def write(self, data: bytes | str, *, end: bool = False) -> None:
        """Write to its stdin; ``end`` closes it behind that."""
        self._guard.through(lambda: self._process.write(data, end=end))

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; nothing happens if it has ended."""
        self._guard.through(lambda: self._process.signal(number))

    def kill(self) -> None:
        """End it and everything that it has started."""
        self._guard.through(self._process.kill)

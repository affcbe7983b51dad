"""The terminal that a person sits at, joined to one in a sandbox: each key goes there, and what it says comes here."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.terminal_size import terminal_size
from pytest_fargate_sandbox.sandbox.terminals.recording import Recording
from pytest_fargate_sandbox.sandbox.terminals.terminal_link import TerminalLink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess
    from pytest_fargate_sandbox.server.protocol import Result

_KEYS = 65536
_OVER = b"!"
_LEAVE = (b"\r~.", b"\n~.")
"""As with ssh: for who is stuck there."""


def is_at_terminal() -> bool:
    """Whether a person sits at both ends of us."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def own_size() -> tuple[int, int]:
    """Columns and rows of the terminal that we have."""
    return terminal_size(1)


class OwnTerminal:
    """Joined to the terminal of ``process`` until that ends, or the person leaves with Enter ~ . (dot)."""

    def __init__(self, process: TerminalProcess, record: IO[str] | None = None) -> None:
        self._process = process
        self._record = record
        self._recording = Recording(*own_size()) if record else None
        self._end, self._ended = os.pipe()
        self._size = own_size()
        self._result: Result | None = None
        self._error: SandboxError | None = None
        self._last_keys = b"\r"

    def join(self) -> int:
        """The exit code of the program there; whatever happens, the terminal here is left as it was.

        A program that has not ended by then is hung up on: this terminal was closed, or its person left.
        """
        link = TerminalLink(self._process, "own", self)
        try:
            with _raw(), self._woken_by_size():
                link.start()
                while self._pass_keys():
                    pass
        finally:
            link.close()
            leaves = not self._is_over  # before its end, which is of our making, can be heard of
            if leaves:
                self._hang_up()
            if self._record and self._recording:
                with self._record:
                    self._record.write(self._recording.text())
        if leaves:
            return 128 + signal.SIGHUP
        if self._error:
            raise self._error
        assert self._result
        return self._result.return_code or 0

    @property
    def _is_over(self) -> bool:
        return self._result is not None or self._error is not None

    def _pass_keys(self) -> bool:
        """Whether there is more to come."""
        ready, _, _ = select.select([0, self._end], [], [])
        self._follow_size()
        if self._end in ready:
            return os.read(self._end, 1) != _OVER
        keys = _typed()
        self._last_keys = (self._last_keys + keys)[-3:]
        if not keys or self._last_keys in _LEAVE:
            return False
        try:
            self._process.write(keys)
        except SandboxError as error:
            if error.context.get("kind") != "closed":
                raise
        return True

    def _hang_up(self) -> None:
        with contextlib.suppress(SandboxError):
            self._process.signal_tree(signal.SIGHUP)
            self._process.kill()

    def _follow_size(self) -> None:
        """Before the keys that were typed behind it."""
        if own_size() != self._size:
            self._size = own_size()
            with contextlib.suppress(SandboxError):
                self._process.state(*self._size)

    @contextlib.contextmanager
    def _woken_by_size(self) -> Iterator[None]:
        """A handler that did more than wake us could meet a lock that whoever it interrupted holds."""
        os.set_blocking(self._ended, False)
        waker = signal.set_wakeup_fd(self._ended)  # whichever thread the kernel tells
        before = signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)
            signal.set_wakeup_fd(waker)

    # --- what comes, in the thread of the link ----------------------------------------------------------------------
    def said(self, screen: bytes, _notes: bytes) -> None:
        if self._recording:
            self._recording.output(screen)
        left = memoryview(screen)
        while left:
            left = left[os.write(1, left) :]

    def ended(self, result: Result | None, error: SandboxError | None) -> None:
        self._result, self._error = result, error
        os.write(self._ended, _OVER)


def _typed() -> bytes:
    """Nothing at the end, and where the terminal has gone."""
    try:
        return os.read(0, _KEYS)
    except OSError:
        return b""


def recording_to(path: Path) -> IO[str]:
    """Opened before anything is done, rather than after it was for nothing."""
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise SandboxError(f"--record {path}: {error.strerror}") from None


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Each key comes as it is typed, Ctrl-C too, and is shown by nobody but the program there."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        with contextlib.suppress(termios.error):  # it has gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)

"""A bar where a person looks on, while something takes long: on a terminal, and never in a pipe, in CI or in a test.

What is under way says so with ``shown``, and whatever does it, however deep below, tells ``moved`` how far it is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.printable import one_line
from pytest_fargate_sandbox.leaves.terminal_size import only_prints, terminal_size

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_AFTER_SEC = 1.0
"""What is over by then needs no bar."""
_EVERY_SEC = 0.2
_WIDTH = 20
_UNITS = ("B", "kB", "MB", "GB")
_drawn = threading.Lock()
"""A terminal has room for one."""


class _Here(threading.local):
    bar: _Bar | None = None


_here = _Here()


@contextlib.contextmanager
def shown(what: str, whole: int | None = None, *, in_bytes: bool = True) -> Iterator[None]:
    """While the block runs, how far it is. ``whole``: how much there is to do, where that is known."""
    draws = is_looked_at() and _drawn.acquire(blocking=False)
    before, _here.bar = _here.bar, _Bar(what, whole, in_bytes) if draws else None
    try:
        yield
    finally:
        if _here.bar:
            _here.bar.erase()
            _drawn.release()
        _here.bar = before


def is_looked_at() -> bool:
    """Whether our stderr is a terminal, of which nobody else draws the last line."""
    error = sys.stderr
    if error is None or not error.isatty():
        return False
    return not (os.environ.get("CI") or "PYTEST_CURRENT_TEST" in os.environ or only_prints())


def is_shown() -> bool:
    """Whether this thread has a bar."""
    return _here.bar is not None


def moved(steps: int, says: str = "") -> None:
    """So many bytes, or other steps, further; and what there is to say of it."""
    if _here.bar is not None:
        _here.bar.move(steps, says)


def moving(blocks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The same blocks, each of which moves the bar; it begins anew with them."""
    bar = _here.bar
    if bar is not None:
        bar.done = 0
    with closing(blocks):  # type: ignore[type-var]
        for block in blocks:
            yield block
            if bar is not None:
                bar.move(len(block))


class _Bar:
    def __init__(self, what: str, whole: int | None, in_bytes: bool) -> None:
        self.done = 0
        self._what, self._whole, self._in_bytes = what, whole, in_bytes
        self._since = time.monotonic()
        self._draws_next = self._since + _AFTER_SEC
        self._says = ""
        self._is_drawn = False

    def move(self, steps: int, says: str = "") -> None:
        self.done += steps
        self._says = says or self._says
        if time.monotonic() >= self._draws_next:
            self._draws_next = time.monotonic() + _EVERY_SEC
            self._write(f"\r\x1b[K{one_line(self._line(), terminal_size(sys.stderr)[0] - 1)}")
            self._is_drawn = True

    def erase(self) -> None:
        if self._is_drawn:
            self._write("\r\x1b[K")

    def _line(self) -> str:
        seconds = time.monotonic() - self._since
        told = [self._what, self._amount(), f"{seconds:.0f} s"]
        if self._whole:
            share = min(1.0, self.done / self._whole)
            told = [f"{share:4.0%}", self._what, f"[{'=' * round(share * _WIDTH):<{_WIDTH}}]", self._amount()]
            told += [f"{seconds / share - seconds:.0f} s left"] if 0 < share < 1 else []
        return "  ".join([each for each in told if each] + ([self._says] if self._says else []))

    def _amount(self) -> str:
        if not self._in_bytes:
            return f"{self.done}/{self._whole}" if self._whole else ""
        rate = self.done / max(time.monotonic() - self._since, 0.001)
        whole = f" of {_size(self._whole)}" if self._whole else ""
        return f"{_size(self.done)}{whole}, {_size(rate)}/s"

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            sys.stderr.write(text)
            sys.stderr.flush()


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"

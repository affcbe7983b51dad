"""What must not be cut in two is done by another thread: Python interrupts the main one alone.

Ctrl-C, or a test's time-out, may raise between any two instructions of the main thread. paramiko takes a lock, and only
then begins to ``try``; whoever is interrupted in between has that lock for ever, and the connection's own thread waits
for it, and all who wait for that. So the main thread lets another one do it, and waits where nothing is held.
"""

# https://github.com/paramiko/paramiko/blob/5.1.0/paramiko/buffered_pipe.py#L89
# https://docs.python.org/3/library/signal.html#note-on-signal-handlers-and-exceptions

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_JOIN_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class Hands:
    """Threads that do what the main thread asks for; what another one asks for, it does itself.

    They stay until ``end``. A deed whose caller was interrupted goes on, and is undone when it is done.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[_Hand] = []
        self._ended = False

    def do(self, deed: Callable[[], T], undo: Callable[[T], object] = lambda _: None) -> T:
        if threading.current_thread() is not threading.main_thread():
            return deed()
        try:
            hand = self._free()
        except RuntimeError:  # no thread to be had: rather so than not at all
            return deed()
        errand = _Errand(deed, undo, lambda: self._rest(hand))
        try:
            hand.wishes.put(errand.run)
            errand.wait()
        except BaseException:
            hand.wishes.put(errand.undo)
            raise
        return errand.take()

    def end(self) -> None:
        """Those who are still at work end when they have done it."""
        self._ended = True
        for hand in self._dismiss():
            if hand is not threading.current_thread():
                hand.join(_JOIN_SECONDS)

    def _free(self) -> _Hand:
        try:
            return self._idle.pop()
        except IndexError:
            return _Hand(self._name)

    def _rest(self, hand: _Hand) -> None:
        self._idle.append(hand)
        if self._ended:
            self._dismiss()

    def _dismiss(self) -> list[_Hand]:
        """Whoever takes one from the list has it alone, so that nobody asks for anything of one that ends."""
        dismissed = []
        while self._idle:
            try:
                hand = self._idle.pop()
            except IndexError:  # another was faster
                break
            hand.wishes.put(None)
            dismissed.append(hand)
        return dismissed


class _Hand(threading.Thread):
    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.wishes: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while (wish := self.wishes.get()) is not None:
            wish()
            del wish  # it knows a stream, which ends with who has it


class _Errand(Generic[T]):
    def __init__(self, deed: Callable[[], T], undo: Callable[[T], object], rest: Callable[[], None]) -> None:
        self._deed = deed
        self._undo = undo
        self._rest = rest
        self._was_asked_for = False
        self._given: list[T] = []
        self._error: BaseException | None = None
        self._is_done: SimpleQueue[None] = SimpleQueue()

    def run(self) -> None:
        self._was_asked_for = True
        try:
            self._given.append(self._deed())
        except BaseException as error:  # it is the caller's
            self._error = error
        self._rest()
        self._is_done.put(None)

    def wait(self) -> None:
        """A signal that comes just before a thread begins to wait is not noticed until it waits no more."""
        while True:
            try:
                self._is_done.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            return

    def take(self) -> T:
        if self._error is None:
            return self._given.pop()
        try:
            raise self._error
        finally:
            self._error = None  # its traceback leads here

    def undo(self) -> None:
        if not self._was_asked_for:
            self._rest()
        elif self._given:
            self._undo(self._given.pop())

"""One thread that serves many sockets, none of which it ever waits for."""

import collections
import select
import socket
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

READABLE, WRITABLE = select.POLLIN, select.POLLOUT


class Turns:
    """``turn`` calls whoever's socket is ready; ``call`` has another thread's wish carried out in the next one."""

    def __init__(self) -> None:
        self._poller = select.poll()
        self._acts: "dict[int, Callable[[], None]]" = {}
        self._masks: "dict[int, int]" = {}
        self._wishes: "collections.deque[Callable[[], None]]" = collections.deque()
        self._alarm, self._bell = socket.socketpair()
        self._lock = threading.Lock()
        self._closed = False
        for end in (self._alarm, self._bell):
            end.setblocking(False)
        self.watch(self._alarm, READABLE, self._hear)

    def watch(self, sock: socket.socket, mask: int, act: "Callable[[], None]") -> None:
        """``act`` when the socket is as ``mask`` has it; never, if that is nothing."""
        number = sock.fileno()
        if mask and self._masks.get(number) != mask:
            self._poller.register(number, mask)  # or changes what is watched for
        elif not mask and number in self._masks:
            self._poller.unregister(number)
        if mask:
            self._masks[number], self._acts[number] = mask, act
        else:
            self._masks.pop(number, None)
            self._acts.pop(number, None)

    def forget(self, sock: socket.socket) -> None:
        """Before it is closed."""
        self.watch(sock, 0, self._hear)

    def call(self, wish: "Callable[[], None]") -> bool:
        """From any thread; whether there will be a turn for it."""
        with self._lock:
            if self._closed:
                return False
            self._wishes.append(wish)
            try:
                self._bell.send(b"\0")
            except BlockingIOError:
                pass  # It rings already.
        return True

    def turn(self, seconds: "float | None" = None) -> None:
        """Wait for news, for so long at most, and act on them."""
        for number, _ in self._poller.poll(None if seconds is None else seconds * 1000):
            act = self._acts.get(number)
            if act:
                act()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        while self._wishes:
            self._wishes.popleft()()
        self._alarm.close()
        self._bell.close()

    def _hear(self) -> None:
        try:
            self._alarm.recv(4096)
        except BlockingIOError:
            pass
        while self._wishes:
            self._wishes.popleft()()

"""A TCP relay that misbehaves on demand, to stand between a client and a real server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_RST_AT_CLOSE = struct.pack("ii", 1, 0)
_DROP_SECONDS = 0.02


class FaultProxy:
    """Relays ``port`` to an address, or to a socket that somebody else makes.

    ``cut`` and ``reset`` break connections, ``stall`` holds all bytes, ``drip`` lets few of them through, ``swallow``
    takes and drops them, ``refuse`` lets nobody in.
    """

    def __init__(self, target: tuple[str, int] | Callable[[], socket.socket]) -> None:
        self._connect = target if callable(target) else lambda: socket.create_connection(target, timeout=30)
        self.connections = 0
        """How many were let in so far."""
        self._last_came = 0.0
        self.last_moved = 0.0
        """When the last bytes went through, as time.monotonic tells it."""
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self.left: int | None = None
        """How many bytes may go through before ``cut_after`` or ``swallow_after`` strikes."""
        self._then = self.cut
        self._swallowed: set[socket.socket] = set()
        self._reset: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._drop: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def carries_since(self, seconds: float) -> bool:
        """Whether there is a connection to break, and all of them have lived for so long."""
        with self._lock:
            return bool(self._pairs) and time.monotonic() - self._last_came >= seconds

    def cut(self) -> None:
        """Break every connection."""
        _end(self._ends(), socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break every connection as a crash does: both sides get a RST, and what was under way to them is lost."""
        ends = self._ends()
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_AT_CLOSE)
        with self._lock:
            self._reset.update(ends)
        _end(ends, socket.SHUT_RD)  # which sends nothing, and has whoever reads here close it

    def _ends(self) -> list[socket.socket]:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return [end for pair in pairs for end in pair]

    def cut_after(self, byte_count: int) -> None:
        """Break everything once that many more bytes went through, in either direction."""
        with self._lock:
            self.left, self._then = byte_count, self.cut

    def cut_every(self, byte_count: int) -> None:
        """The same again and again, until ``left`` is None."""

        def strike() -> None:
            self.cut_every(byte_count)
            self.cut()

        with self._lock:
            self.left, self._then = byte_count, strike

    def swallow(self) -> None:
        """Drop what comes over the connections of now, as a middle box that lost its memory: TCP sees nothing of it.

        The kernel acknowledges every byte and every probe, an end is not passed on. New connections are let through.
        No later ``cut`` ends these: only ``cut_swallowed``.
        """
        ends = self._ends()
        with self._lock:
            self._swallowed.update(ends)

    def cut_swallowed(self) -> None:
        """Break what was swallowed, which is when its server gives it up."""
        with self._lock:
            swallowed = list(self._swallowed)
        _end(swallowed, socket.SHUT_RDWR)

    def swallow_after(self, byte_count: int) -> None:
        """Swallow once that many more bytes went through, in either direction."""
        with self._lock:
            self.left, self._then = byte_count, self.swallow

    def stall(self) -> None:
        """Let nothing through; keep every connection open, new ones too."""
        self._flowing.clear()

    def drip(self, bytes_per_second: int) -> None:
        """Let no more than that through, in each direction of each connection."""
        self._drop = max(1, round(bytes_per_second * _DROP_SECONDS))

    def flow(self) -> None:
        self._drop = None
        self._flowing.set()

    def refuse(self) -> None:
        """Close new connections at once."""
        self._refusing = True

    def admit(self) -> None:
        self._refusing = False

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.flow()
        with self._lock:
            left = list(self._open)
        _end(left, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True, name="fault proxy")
        thread.start()
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._last_came = time.monotonic()
                self._pairs.append((client, server))
                self._open.update((client, server))
            self._start(self._relay_both_ways, client, server)

    def _relay_both_ways(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._relay, args=(server, client), daemon=True, name="fault proxy")
        back.start()
        self._relay(client, server)
        back.join()
        with self._lock:
            self._pairs = [pair for pair in self._pairs if pair != (client, server)]
            for ends in (self._open, self._swallowed, self._reset):
                ends.difference_update((client, server))
        client.close()
        server.close()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                if source not in self._swallowed:
                    self._pour(data, sink)
                    self.last_moved = time.monotonic()
                    self._count(len(data))
        except OSError:
            pass
        if source not in self._swallowed and source not in self._reset:
            _end([sink], socket.SHUT_WR)

    def _pour(self, data: bytes, sink: socket.socket) -> None:
        while data and (drop := self._drop):
            sink.sendall(data[:drop])
            data = data[drop:]
            time.sleep(_DROP_SECONDS)
        sink.sendall(data)

    def _count(self, size: int) -> None:
        with self._lock:
            if self.left is None:
                return
            self.left -= size
            if self.left > 0:
                return
            self.left = None
        self._then()


def _end(ends: Iterable[socket.socket], how: int) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(how)

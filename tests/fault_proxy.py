"""A TCP relay that misbehaves on demand, to stand between a client and a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FaultProxy:
    """Relays ``port`` to an address, or to a socket that somebody else makes.

    ``cut`` breaks connections, ``stall`` holds all bytes, ``swallow`` takes and drops them, ``refuse`` lets nobody in.
    """

    def __init__(self, target: tuple[str, int] | Callable[[], socket.socket]) -> None:
        self._connect = target if callable(target) else lambda: socket.create_connection(target, timeout=5)
        self.connections = 0
        """How many were let in so far."""
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
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def cut(self) -> None:
        """Break every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut_after(self, byte_count: int) -> None:
        """Break everything once that many more bytes went through, in either direction."""
        with self._lock:
            self.left, self._then = byte_count, self.cut

    def swallow(self) -> None:
        """Drop what comes over the connections of now, as a middle box that lost its memory: TCP sees nothing of it.

        The kernel acknowledges every byte and every probe, an end is not passed on. New connections are let through.
        """
        with self._lock:
            self._swallowed.update(end for pair in self._pairs for end in pair)

    def cut_swallowed(self) -> None:
        """Break what was swallowed, which is when its server gives it up."""
        with self._lock:
            swallowed = list(self._swallowed)
        for end in swallowed:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def swallow_after(self, byte_count: int) -> None:
        """Swallow once that many more bytes went through, in either direction."""
        with self._lock:
            self.left, self._then = byte_count, self.swallow

    def stall(self) -> None:
        """Let nothing through; keep every connection open, new ones too."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def refuse(self) -> None:
        """Close new connections at once."""
        self._refusing = True

    def admit(self) -> None:
        self._refusing = False

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True, name="fault proxy")
        self._threads.append(thread)
        thread.start()

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
                self._pairs.append((client, server))
            self._start(self._relay_both_ways, client, server)

    def _relay_both_ways(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._relay, args=(server, client), daemon=True, name="fault proxy")
        back.start()
        self._relay(client, server)
        back.join()
        client.close()
        server.close()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                if source not in self._swallowed:
                    sink.sendall(data)
                    self._count(len(data))
        except OSError:
            pass
        if source in self._swallowed:
            return
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _count(self, size: int) -> None:
        with self._lock:
            if self.left is None:
                return
            self.left -= size
            if self.left > 0:
                return
            self.left = None
        self._then()

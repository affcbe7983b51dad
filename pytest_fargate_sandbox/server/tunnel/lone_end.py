"""A program that takes tunnels on loopback for one other port: what the sidecar has before its sshd."""

import collections
import hashlib
import hmac
import json
import re
import socket
import threading
import time

from pytest_fargate_sandbox.server.tunnel.tunnels import Tunnels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_MOST_STRANGERS = 32
"""Code in the task can come here as well, and hold what it opens: beyond so many, the one that came first goes."""
_LONGEST_OPENING = 4096
_TOKEN = re.compile(rb"\r\nAuthorization: Bearer (\w+)\r\n")
_REST_SEC = 0.05


def take_tunnels(port: int, target: int, token_sha256: str) -> "NoReturn":
    """At ``port`` of the loopback, for ever, for who knows the token of that digest and wants to its port ``target``.

    What is said is what an exec server is asked for a tunnel with.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    end = _LoneEnd(target, token_sha256)
    while True:
        try:
            carrier, _ = listener.accept()
        except OSError:
            time.sleep(_REST_SEC)
            continue
        end.take(carrier)


class _LoneEnd:
    def __init__(self, target: int, token_sha256: str) -> None:
        self._tunnels = Tunnels(target)
        self._digest = token_sha256
        self._lock = threading.Lock()
        self._strangers: "collections.deque[socket.socket]" = collections.deque()

    def take(self, carrier: socket.socket) -> None:
        carrier.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._strangers.append(carrier)
            if len(self._strangers) > _MOST_STRANGERS:
                _shut(self._strangers.popleft())
        try:
            threading.Thread(target=self._serve, args=(carrier,), daemon=True).start()
        except RuntimeError:  # There are no threads to be had for the moment.
            self._known(carrier)
            carrier.close()

    def _known(self, carrier: socket.socket) -> None:
        """It is no stranger any more."""
        with self._lock:
            if carrier in self._strangers:
                self._strangers.remove(carrier)

    def _serve(self, carrier: socket.socket) -> None:
        try:
            opening, early = self._opening(carrier)
            self._known(carrier)
            if opening:
                asked = json.loads(opening.decode("ascii"))
                said = b"HTTP/1.1 200 OK\r\n\r\n"
                self._tunnels.serve(asked["id"], asked["carrier"], carrier, early, lambda: carrier.sendall(said))
        except (OSError, ValueError, KeyError):
            pass  # Whoever is at the other end sees that it is over.
        finally:
            self._known(carrier)
            carrier.close()

    def _opening(self, carrier: socket.socket) -> "tuple[bytes, bytes]":
        """What is asked, and what has come behind it; nothing of a stranger."""
        data = b""
        while len(data) < _LONGEST_OPENING:
            more = carrier.recv(_LONGEST_OPENING)
            data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            asked, mark, early = rest.partition(b"\n")
            if mark:
                given = _TOKEN.search(head)
                digest = hashlib.sha256(given.group(1) if given else b"").hexdigest()
                return (asked, early) if hmac.compare_digest(digest, self._digest) else (b"", b"")
            if not more:
                break
        return b"", b""


def _shut(carrier: socket.socket) -> None:
    try:
        carrier.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is gone.

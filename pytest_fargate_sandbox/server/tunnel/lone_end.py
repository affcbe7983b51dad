"""A program that takes tunnels on loopback for one other port: what the sidecar has before its sshd."""

import socket
import threading
import time

from pytest_fargate_sandbox.server.tunnel.inner_end import InnerEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_MOST = 32
"""Tunnels at once: whoever else is in the task can open some, and gets through them no further than without."""
_REST_SEC = 0.05


def take_tunnels(port: int, target: int) -> "NoReturn":
    """At ``port`` of the loopback, for ever, for whoever wants to its port ``target``."""
    places = threading.Semaphore(_MOST)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(16)
    while True:
        try:
            carrier, _ = listener.accept()
        except OSError:
            time.sleep(_REST_SEC)
            continue
        carrier.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if places.acquire(False):
            threading.Thread(target=_serve, args=(carrier, target, places), daemon=True).start()
        else:
            carrier.close()


def _serve(carrier: socket.socket, target: int, places: threading.Semaphore) -> None:
    try:
        InnerEnd(carrier, target).serve()
    finally:
        carrier.close()
        places.release()

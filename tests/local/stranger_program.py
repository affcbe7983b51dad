"""Another user of the machine, at the engine's port: sends what it is told to and tells what came back.

It takes a JSON object on its input: ``uid`` to become, ``port``, ``requests`` in base64, and the ``manner`` of sending
each on a connection of its own. Those of the manner ``hold`` are held until the input ends.
"""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401  (before the interpreter itself is out of reach)
import json
import os
import socket
import struct
import sys


def send(port: int, request: bytes, manner: str) -> str:
    """``polite`` waits for the answer; ``close`` and ``reset`` hang up as soon as the kernel has taken the bytes.

    A closed socket is a stranger's no more, as the kernel tells it, and one that was reset is nobody's.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        if manner == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            connection.sendall(request)
            return base64.b64encode(_answer(connection)).decode() if manner == "polite" else ""
        except ConnectionError:
            return ""  # refused before it was read


def _answer(connection: socket.socket) -> bytes:
    """Up to the end of the connection, which the request asks for."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def hold(port: int, requests: list[bytes]) -> list[socket.socket]:
    held = []
    for request in requests:
        held.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        held[-1].sendall(request)
    return held


def main() -> None:
    orders = json.loads(sys.stdin.readline())
    os.setgroups([])
    os.setgid(orders["uid"])
    os.setuid(orders["uid"])
    requests = [base64.b64decode(request) for request in orders["requests"]]
    if orders["manner"] == "hold":
        held = hold(orders["port"], requests)
        print(json.dumps(len(held)), flush=True)
        sys.stdin.read()
    else:
        print(json.dumps([send(orders["port"], request, orders["manner"]) for request in requests]), flush=True)


if __name__ == "__main__":
    main()

"""A server whose source is not in its task's definition: a program small enough to travel with RunTask waits for it.

It takes one source only, the one of the digest that it was started with, so it need not know who brings it. What it is
brought by may say everything twice: each line has its number. Nobody who holds a connection keeps others from it: each
has a thread, and of very many whoever came first goes.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pytest_fargate_sandbox.leaves import names

if TYPE_CHECKING:
    from collections.abc import Iterator

DELIVERY: Final = b"a server\n"
"""How whoever brings it begins."""
TAKEN: Final = b"taken\n"
TOO_EARLY: Final = 425
"""What is answered to everybody else."""

_PROGRAM = """
import binascii, hashlib, os, socket, threading, time, zlib
end = time.time() + float(os.environ.get(@ttl@) or @default_ttl@)
listener, peers, found = socket.socket(), [], []
def taken(sock):
    sock.settimeout(10)
    lines, parts, room = sock.makefile('rb'), [], @room@
    if lines.readline(999) != @delivery@:
        sock.sendall(b'HTTP/1.1 @early@ Too Early\\r\\n\\r\\n')
        return b''
    sock.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')
    for line in iter(lambda: lines.readline(65536), b''):
        number, _, part = line.rstrip(b'\\n').partition(b' ')
        if number == b'%d' % len(parts):
            parts.append(part)
            room -= len(part)
            if not part or room < 0:
                return b''.join(parts)
    return b''
def serve(sock):
    try:
        source = taken(sock)
        if hashlib.sha256(source).hexdigest() == '@digest@':
            found.append((source, sock))
            listener.shutdown(socket.SHUT_RDWR)
            return
    except (OSError, ValueError):
        pass
    shut(sock)
    sock.close()
def shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
def awaited():
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', int(os.environ[@port@])))
    listener.listen(128)
    while not found:
        listener.settimeout(max(end - time.time(), 0.001))
        try:
            peers.append(listener.accept()[0])
        except socket.timeout:
            os._exit(@expired@)
        except OSError:
            time.sleep(0.01)
            continue
        try:
            threading.Thread(target=serve, args=peers[-1:], daemon=True).start()
        except RuntimeError:
            peers.pop().close()
        while len(peers) > 32:
            shut(peers.pop(0))
    listener.close()
    source, sock = found[0]
    try:
        sock.sendall(@taken@)
    except OSError:
        pass
    sock.close()
    while peers:
        shut(peers.pop())
    return source
source = awaited()
os.environ[@ttl@] = str(int(max(end - time.time(), 1)))
loader, *parts = zlib.decompress(binascii.a2b_base64(source)).decode().split(chr(0))
SOURCES = dict(zip(parts[::2], parts[1::2]))
exec(loader)
"""


@lru_cache(maxsize=2)
def awaiting_source(source: str) -> str:
    """What takes the place of ``source`` in a command, and waits for it."""
    program = _PROGRAM
    for place, value in {
        "@room@": str(len(source)),
        "@digest@": hashlib.sha256(source.encode()).hexdigest(),
        "@ttl@": repr(names.ENV_TTL),
        "@default_ttl@": str(names.DEFAULT_TTL_SEC),
        "@port@": repr(names.ENV_SERVER_PORT),
        "@expired@": str(names.EXIT_EXPIRED),
        "@early@": str(TOO_EARLY),
        "@delivery@": repr(DELIVERY),
        "@taken@": repr(TAKEN),
    }.items():
        program = program.replace(place, value)
    return base64.b64encode(zlib.compress(program.encode(), 9)).decode()


def lines_of(source: str, most: int) -> Iterator[bytes]:
    """``source`` as it is brought, in lines of ``most`` bytes, none of which may be spread over two messages."""
    size = most - 8
    data = source.encode()
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    for number, part in enumerate([*parts, b""]):
        yield b"%d %s\n" % (number, part)

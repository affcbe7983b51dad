"""Talks to an ``OutsideService`` from inside a sandbox, in many ways at once, and tells how that went, as JSON.

Shipped as source; standard library only. Each talk goes on until it is complete, again from the start or from where it
was, as its protocol lets it. What must never be is one that seems complete and is not.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import struct
import sys
import threading
import time
from urllib.parse import urlsplit

PATIENCE = 30.0


class Wrong(Exception):
    """It ended well, and is not what was said."""


def content_of(number: int, size: int) -> bytes:
    block = hashlib.sha256(b"%d" % number).digest()
    return (block * (size // len(block) + 1))[:size]


def expect(fits: bool) -> None:
    if not fits:
        raise Wrong


class Talk:
    """One of them: ``attempt`` raises where the connection breaks."""

    def __init__(self, url: str, number: int, size: int) -> None:
        self.address = urlsplit(url).hostname, urlsplit(url).port
        self.number = number
        self.size = size

    def attempt(self) -> None:
        raise NotImplementedError


class Fetch(Talk):
    """Several requests over one connection that is kept alive."""

    def attempt(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            for _ in range(3):
                connection.request("GET", f"/content?number={self.number}&size={self.size}")
                expect(connection.getresponse().read() == content_of(self.number, self.size))
        finally:
            connection.close()


class Post(Talk):
    def attempt(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            body = content_of(self.number, self.size)
            connection.request("POST", "/digest", body)
            expect(connection.getresponse().read() == hashlib.sha256(body).digest())
        finally:
            connection.close()


class Events(Talk):
    """Goes on behind the last event that came."""

    last = 0
    count = 40

    def attempt(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request("GET", f"/events?count={self.count}", headers={"Last-Event-ID": str(self.last)})
            answer = connection.getresponse()
            for line in answer:
                if line.startswith(b"id: "):
                    coming = int(line[4:])
                    expect(coming == self.last + 1)
                if line.startswith(b"data: "):
                    expect(line[6:].strip() == content_of(coming, 60).hex().encode())
                    self.last = coming
            if self.last < self.count:
                raise ConnectionError("the last chunk did not come")
        finally:
            connection.close()


class WebSocket(Talk):
    """Says again what was not answered."""

    answered = 0
    count = 40

    def attempt(self) -> None:
        with socket.create_connection(self.address, timeout=PATIENCE) as sock, sock.makefile("rb") as file:
            key = base64.b64encode(os.urandom(16)).decode()
            sock.sendall(
                (
                    "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
                ).encode()
            )
            while True:
                line = file.readline()
                if not line:
                    raise ConnectionError("no handshake")
                if line == b"\r\n":
                    break
            while self.answered < self.count:
                message = content_of(self.answered, 2000)
                expect(self.echo(sock, file, 0x82, message) == message)
                self.answered += 1
                time.sleep(0.01)
            self.echo(sock, file, 0x88, b"\x03\xe8" + b"x" * 130)

    def echo(self, sock: socket.socket, file, kind: int, message: bytes) -> bytes:  # type: ignore[no-untyped-def]
        sock.sendall(struct.pack("!BBH", kind, 0x80 | 126, len(message)) + b"\0\0\0\0" + message)
        head = file.read(4)
        if len(head) < 4:
            raise ConnectionError("no frame")
        answer = file.read(struct.unpack("!BBH", head)[2])
        if len(answer) < len(message):
            raise ConnectionError("half a frame")
        return answer


class HalfClosed(Talk):
    """Says all, ends its half, and hears all: nothing but the end of the stream says how long it is."""

    def attempt(self) -> None:
        said = content_of(self.number, self.size)
        with socket.create_connection(self.address, timeout=PATIENCE) as sock:
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            heard = bytearray()
            while True:
                data = sock.recv(1 << 16)
                if not data:
                    break
                heard += data
        expected = hashlib.sha256(said).digest() + content_of(self.size, self.size)
        expect(expected.startswith(bytes(heard)))
        if len(heard) < len(expected):
            raise Short


class Short(Exception):
    """It ended well, and was cut: nobody can tell where the sidecar does not."""


class Told:
    def __init__(self) -> None:
        self.done = self.retried = self.short = self.wrong = 0
        self.lost = []  # type: list[str]
        self.longest_silence = 0.0
        self.lock = threading.Lock()

    def count(self, name: str) -> None:
        with self.lock:
            setattr(self, name, getattr(self, name) + 1)


def carry_through(talk: Talk, told: Told) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            talk.attempt()
        except Wrong:
            told.count("wrong")
            return
        except Short:
            told.count("short")
        except (OSError, http.client.HTTPException) as error:
            told.count("retried")
            if time.monotonic() > end:
                told.lost.append(repr(error))
                return
        else:
            told.count("done")
            return
        time.sleep(0.05)


def main(url: str, plain_url: str, count: str, seconds: str) -> None:
    told = Told()
    end = time.monotonic() + float(seconds)
    kinds = [Fetch, Post, Events, WebSocket, HalfClosed]

    def talk(number: int) -> None:
        kind = kinds[number % len(kinds)]
        while True:
            carry_through(kind(plain_url if kind is HalfClosed else url, number, 20000 + 997 * number), told)
            if time.monotonic() > end:
                return

    def ask_all_the_time() -> None:
        answered = time.monotonic()
        while time.monotonic() < end:
            carry_through(Fetch(url, 1, 100), told)
            told.longest_silence = max(told.longest_silence, time.monotonic() - answered)
            answered = time.monotonic()
            time.sleep(0.02)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(int(count))]
    threads.append(threading.Thread(target=ask_all_the_time))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del told.lock
    print(json.dumps(vars(told)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Many requests, some at once, and what is measured around them."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.hostile.fuzz.mutants import Mutants

if TYPE_CHECKING:
    from collections.abc import Callable

_THREADS = 3
_PATIENCE_SEC = 3.0
_LONGEST_ANSWER = 4 << 20
_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_PYTHON = (b"Traceback", b'File "/', b"Error: ", b"object at 0x")
"""What no answer has in it."""


@dataclass
class Storm:
    """``make`` gives the next request of one of the threads; ``complaint`` says what is wrong with an answer."""

    seed: str
    port: int
    make: Callable[[Mutants], bytes]
    complaint: Callable[[bytes], str]
    sent: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def blow(self, requests: int, *, seconds: float = 0.0) -> None:
        """So many, and for so long at least."""
        most, end = self.sent + requests, time.monotonic() + seconds
        threads = [threading.Thread(target=self._one, args=(number, most, end)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, number: int, most: int, end: float) -> None:
        mutants = Mutants(f"{self.seed}/{number}")
        while (self.sent < most or time.monotonic() < end) and not self.complaints:
            request = self.make(mutants)
            answer = exchange(self.port, request, mutants.random)
            self.sent += 1
            for status in map(int, _ANSWER.findall(answer)):
                self.statuses[status] = self.statuses.get(status, 0) + 1
            wrong = self.complaint(answer)
            if wrong:
                self.complaints.append(f"{wrong}\nsent: {request[:3000]!r}\nanswer: {answer[:3000]!r}")


def in_http_and_without_python(answer: bytes) -> str:
    """Nothing at all is as good: who sends rubbish is hung up on."""
    if answer and not answer.startswith(b"HTTP/1.1 "):
        return "no HTTP"
    statuses = {int(status) for status in _ANSWER.findall(answer)}
    if 500 in statuses:
        return "a 500"
    found = next((word for word in _PYTHON if word in answer), b"")
    return f"Python's words: {found.decode()}" if found else ""


def exchange(port: int, request: bytes, source: random.Random) -> bytes:
    """Send it in one of several manners; what came back."""
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_SEC) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        manner = source.randrange(10)
        try:
            if manner == 0:
                for start in range(0, min(len(request), 400), 7):
                    connection.sendall(request[start : start + 7])
                request = request[400:]
            connection.sendall(request)
            if manner == 1:  # a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if manner == 2:
                return b""
            connection.shutdown(socket.SHUT_WR)
            return _read(connection)
        except OSError:  # it hung up first
            return b""


def _read(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while len(answer) < _LONGEST_ANSWER and (piece := connection.recv(1 << 16)):
            answer += piece
    except OSError:
        pass
    return answer


@dataclass(frozen=True)
class Vitals:
    """Of one process."""

    pid: int
    memory_kib: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        return cls(pid, int(status["VmRSS"].split()[0]), descriptors, int(status["Threads"]))

    def wait_until_as_quiet_again(self, *, descriptors: int = 0, threads: int = 0) -> None:
        """But for so many, that are kept for a while. The last of them go when their peers' ends have been heard of."""

        def probe() -> bool:
            now = Vitals.of(self.pid)
            if now.descriptors > self.descriptors + descriptors or now.threads > self.threads + threads:
                raise NotYet(f"{now.descriptors} descriptors and {now.threads} threads, {self} before")
            return True

        wait_until(probe, deadline=20, what="the end of what the requests began")


def chosen_seed(soak: bool) -> str:
    """FUZZ_SEED repeats a run; short ones are all alike."""
    return os.environ.get("FUZZ_SEED") or (f"{random.SystemRandom().randrange(1 << 32):08x}" if soak else "short")

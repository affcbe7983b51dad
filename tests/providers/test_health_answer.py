"""What an agent in a sandbox may answer when it is asked whether it is well, and what it cannot make us do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet
from pytest_fargate_sandbox.providers.ssh.health_answer import expect_success

if TYPE_CHECKING:
    from collections.abc import Iterator


class Agent:
    """Answers each connection with the next of ``answers``, at last for ever with the last; ``again`` has no end."""

    def __init__(self, *answers: bytes, again: bytes = b"") -> None:
        self.asked: list[bytes] = []
        self._answers, self._again = answers, again
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/health"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    self.asked.append(client.recv(9999))
                    client.sendall(self._answers[min(len(self.asked), len(self._answers)) - 1])
                    while self._again:
                        client.sendall(self._again)
                        time.sleep(0.02)

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def agent(*answers: bytes, again: bytes = b"") -> Iterator[Agent]:
    with contextlib.closing(Agent(*answers, again=again)) as answering:
        yield answering


def leading_to(url: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n".encode()


WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_it_leads_us_nowhere_but_to_itself() -> None:
    with agent(WELL) as of_this_machine, agent(leading_to(of_this_machine.url)) as hostile:
        with pytest.raises(NotYet, match=f"HTTP status 302, and leads elsewhere, to {of_this_machine.url}"):
            expect_success(hostile.url, 5)
        assert of_this_machine.asked == []
    with agent(leading_to("file:///etc/passwd")) as hostile, pytest.raises(NotYet, match="elsewhere"):
        expect_success(hostile.url, 5)
    with agent(leading_to("/health/"), WELL) as usual:
        expect_success(usual.url, 5)
        assert usual.asked[1].startswith(b"GET /health/ HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "again", "told"),
    [
        (b"SSH-2.0-x\r\n\r\n", b"", "SSH-2.0-x"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"", "more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000, b"", "header line"),
        (b"HTTP/1.1 \x1b[2J\r\n\r\n", b"", r"\\x1b\[2J"),
        (b"", b"", "closed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"x", "101"),
        (b"HTTP/1.1 200 OK\r\n", b"a", "timed out"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "timed out"),
        (leading_to("/health"), b"", "from one place"),
        (leading_to("http://[/"), b"", "IPv6"),
    ],
)
def test_whatever_it_answers_is_told_in_time(answer: bytes, again: bytes, told: str) -> None:
    with agent(answer, again=again) as hostile:
        begin = time.monotonic()
        with pytest.raises(NotYet, match=told):
            expect_success(hostile.url, 0.5)
        assert time.monotonic() - begin < 10

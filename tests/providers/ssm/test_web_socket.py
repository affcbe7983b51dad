"""A WebSocket that is closed as the service closes each of them, now and then; and what leads to one."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from websockets.sync.server import serve

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssm import web_socket
from pytest_fargate_sandbox.providers.ssm.web_socket import WebSocket, WebSocketEnded
from tests.own_ca import OwnCa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from websockets.sync.server import ServerConnection


def test_after_a_farewell_nothing_is_sent_and_what_came_before_it_is_there() -> None:
    def part(connection: ServerConnection) -> None:
        connection.send(b"last words")
        connection.close(1000, "Bye")

    with serve(part, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        web_socket = WebSocket(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
        assert wait_until(lambda: web_socket.receive() or None, deadline=10, what="a message") == [b"last words"]

        def never() -> None:
            web_socket.receive()

        with pytest.raises(WebSocketEnded, match="1000 Bye"):
            wait_until(never, deadline=10, what="the end")
        with pytest.raises(WebSocketEnded):
            web_socket.send(b"x")
        web_socket.close()
        server.shutdown()
        thread.join(10)


@contextmanager
def flooding(what: bytes) -> Iterator[WebSocket]:
    """A WebSocket whose other side says that for ever, as fast as it can, and hears nothing."""

    def flood(connection: ServerConnection) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with suppress(OSError):
            while True:
                connection.socket.sendall(what)

    with serve(flood, "127.0.0.1", 0, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        peer = WebSocket(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        try:
            yield peer
        finally:
            peer.close()
            server.shutdown()
            thread.join(10)


def test_of_a_flood_so_much_is_taken_at_once_that_others_have_their_turn() -> None:
    with flooding((b"\x82\x7e\x04\x00" + bytes(1024)) * 500) as peer:
        for _ in range(20):
            assert sum(map(len, peer.receive())) < 4 << 20


def test_pieces_of_nothing_are_not_kept() -> None:
    with flooding(b"\x02\x00" + b"\x00\x00" * 100_000) as peer, suppress(WebSocketEnded):
        for _ in range(30):
            assert peer.receive() == []
            assert len(peer._parts) < 100


def test_who_asks_ever_more_and_takes_no_answer_is_parted_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_socket, "_MOST_UNSENT", 200_000)

    def hear(peer: WebSocket) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            peer.receive()
            peer.flush()
            select.select([peer.sock], [], [], 10)

    with flooding((b"\x89\x7d" + bytes(125)) * 5000) as peer, pytest.raises(WebSocketEnded, match="takes nothing"):
        hear(peer)


# --- by way of a proxy ----------------------------------------------------------------------------------------------
class Proxy:
    """Answers CONNECT so, and leads wherever it is asked to ``target``."""

    def __init__(self, target: int, answer: bytes) -> None:
        self.asked: list[bytes] = []
        self._target, self._answer = target, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client, socket.create_connection(("127.0.0.1", self._target), 10) as server:
            self.asked.append(client.recv(9999))
            client.sendall(self._answer)

            def carry(source: socket.socket, target: socket.socket) -> None:
                while data := source.recv(9999):
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)

            if b" 200 " in self._answer:
                back = threading.Thread(target=self._quietly, args=(carry, server, client))
                back.start()
                self._quietly(carry, client, server)
                back.join(10)

    def _quietly(self, carry: Callable[..., None], *ends: socket.socket) -> None:
        try:
            carry(*ends)
        except OSError:
            pass

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._thread.join(10)


@contextmanager
def proxied(
    tmp_path: Path, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
) -> Iterator[tuple[Proxy, str]]:
    """A proxy before a gateway of a name that nobody here knows, and the file of the CA that vouches for it."""
    authority = OwnCa()
    (tmp_path / "ca.pem").write_text(authority.root)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.shown_by(tmp_path / "server.pem", x509.DNSName("gateway.invalid")))

    def part(connection: ServerConnection) -> None:
        connection.send(f"hello {connection.recv()}")

    with serve(part, "127.0.0.1", 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        proxy = Proxy(server.socket.getsockname()[1], answer)
        try:
            yield proxy, str(tmp_path / "ca.pem")
        finally:
            proxy.close()
            server.shutdown()
            thread.join(10)


def test_the_proxy_of_the_environment_leads_to_it_and_is_told_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(tmp_path) as (proxy, bundle):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@{proxy.place}")
        monkeypatch.setenv("NO_PROXY", "elsewhere.invalid")
        web_socket = WebSocket("wss://gateway.invalid/x", ca_bundle=bundle)
        web_socket.send("world")
        web_socket.flush()
        assert wait_until(lambda: web_socket.receive() or None, deadline=10, what="an answer") == [b"hello world"]
        web_socket.close()
    assert proxy.asked[0].startswith(b"CONNECT gateway.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in proxy.asked[0]


def test_a_proxy_that_refuses_is_named_with_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with proxied(tmp_path, answer) as (proxy, bundle):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.place}")
        with pytest.raises(OSError, match=rf"the proxy at {proxy.place} .* says 407 Proxy Auth"):
            WebSocket("wss://gateway.invalid/x", ca_bundle=bundle)


def test_a_proxy_of_a_kind_that_cannot_lead_there_is_named_and_none_is_asked_where_none_shall_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(ConfigError, match=r"socks5://127.0.0.1, and a session takes one of http:// alone"):
        WebSocket("wss://gateway.invalid/x")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pa/ss@127.0.0.1:1")
    with pytest.raises(ConfigError, match="must be escaped") as met:
        WebSocket("wss://gateway.invalid/x")
    assert "pa" not in re.findall(r"\w+", str(met.value))
    monkeypatch.setenv("NO_PROXY", ".invalid")
    with pytest.raises(socket.gaierror):
        WebSocket("wss://gateway.invalid/x")

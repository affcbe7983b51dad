"""The engine's own HTTP server, over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.local.http_server import PEER_IS_KNOWN, HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def _tell(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with what came in; ``/parts`` in parts of unknown length, ``/skip`` without reading the body."""
    if environ["PATH_INFO"].startswith("/environ"):
        plain = {name: value for name, value in environ.items() if isinstance(value, (str, dict))}
        start_response("200 OK", [])
        return [json.dumps(plain).encode()]
    if environ["PATH_INFO"] == "/parts":
        start_response("200 OK", [])
        return [b"one", b"", b"two"]
    body = b"" if environ["PATH_INFO"] == "/skip" else environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']} {len(body)}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


@pytest.fixture
def server() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    http_server = HttpServer(listener, _tell)
    http_server.start()
    yield listener.getsockname()[1]
    http_server.close()


@pytest.fixture
def client(server: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=10)
    yield connection
    connection.close()


def _say(server: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _environ(server: int, target: bytes, *headers: bytes) -> dict[str, Any]:
    """What of the request a WSGI application sees, but for what is no text."""
    answer = _say(server, b"\r\n".join([b"GET " + target + b" HTTP/1.0", *headers, b"", b""]))
    seen: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return seen


def _ask(client: http.client.HTTPConnection, method: str, path: str, **more: Any) -> tuple[int, bytes]:
    client.request(method, path, **more)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_a_connection_serves_many_requests(client: http.client.HTTPConnection) -> None:
    client.connect()
    first = client.sock
    for number in range(3):
        assert _ask(client, "GET", f"/a%20b?n={number}") == (200, f"GET /a b n={number} 0".encode())
    assert client.sock is first


def test_bodies_of_any_size_arrive_whole(client: http.client.HTTPConnection) -> None:
    for size in (0, 1, 1 << 20, (1 << 20) + 1, 5 << 20):
        assert _ask(client, "PUT", "/", body=b"x" * size) == (200, f"PUT /  {size}".encode())


def test_chunked_bodies_arrive_whole(client: http.client.HTTPConnection) -> None:
    assert _ask(client, "PUT", "/", body=iter([b"abc", b"d" * 100_000])) == (200, b"PUT /  100003")
    assert _ask(client, "GET", "/") == (200, b"GET /  0")


def test_chunks_may_have_extensions_and_trailers(server: int) -> None:
    chunks = [b"3;name=value\r\nabc", b"4 ; signature=" + b"0" * 200 + b"\r\ndefg", b"0", b"A: 1", b"A: 2", b"", b""]
    following = b"GET /next HTTP/1.1\r\n\r\n"
    answer = _say(server, b"PUT / HTTP/1.1\r\n" + _CHUNKED + b"\r\n".join(chunks) + following)
    assert b"PUT /  7HTTP/1.1 200 OK" in answer
    assert answer.endswith(b"GET /next  0")


def test_a_body_that_ends_early_is_not_taken_for_the_body(server: int) -> None:
    for beginning in (b"Content-Length: 5\r\n\r\nabc", b"Content-Length: 5000000\r\n\r\nabc", _CHUNKED + b"5\r\nabc"):
        assert b"200 OK" not in _say(server, b"PUT / HTTP/1.1\r\n" + beginning)


_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def test_a_body_that_nobody_read_does_not_become_the_next_request(client: http.client.HTTPConnection) -> None:
    assert _ask(client, "PUT", "/skip", body=b"x" * (3 << 20))[0] == 200
    assert _ask(client, "GET", "/") == (200, b"GET /  0")


def test_an_answer_of_unknown_length_comes_in_chunks(client: http.client.HTTPConnection) -> None:
    assert _ask(client, "GET", "/parts") == (200, b"onetwo")
    assert _ask(client, "HEAD", "/") == (200, b"")
    assert _ask(client, "GET", "/") == (200, b"GET /  0")


def test_a_client_of_http_1_0_gets_no_chunks_and_the_end(server: int) -> None:
    with socket.create_connection(("127.0.0.1", server), timeout=10) as connection:
        connection.sendall(b"GET /parts HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answer.endswith(b"\r\n\r\nonetwo")


def test_a_client_that_waits_for_100_continue_gets_it(server: int) -> None:
    with socket.create_connection(("127.0.0.1", server), timeout=10) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert connection.recv(1000).endswith(b"PUT /  3")


def test_target_and_headers_come_as_their_bytes(server: int) -> None:
    """Signatures are computed from them anew."""
    seen = _environ(server, b"/environ/\xc3\xbc%2f%C3%BC%20?q=%20\xff+&q", b"Word: \xc3\xa0 \t a  b \t")
    assert (seen["RAW_URI"], seen["QUERY_STRING"]) == ("/environ/\xc3\xbc%2f%C3%BC%20?q=%20\xff+&q", "q=%20\xff+&q")
    assert (seen["PATH_INFO"], seen["HTTP_WORD"]) == ("/environ/\xc3\xbc/\xc3\xbc ", "\xc3\xa0 \t a  b")


def test_a_header_that_stands_twice_is_joined(server: int) -> None:
    seen = _environ(server, b"/environ", b"X-Amz-Meta-A: one", b"Other: x", b"x-amz-meta-a:two")
    assert seen["HTTP_X_AMZ_META_A"] == "one,two"


def test_an_underscore_stands_for_no_dash(server: int) -> None:
    """Who signed the one did not sign the other. Only S3's metadata may have them, and is told apart."""
    sent = [b"X_Amz_Copy_Source: forged", b"Content_Type: forged", b"x-amz-acl: meant", b"x-amz_acl: forged"]
    metadata = [b"X-Amz-Meta-a_b: one", b"x-amz-meta-c-d: two", b"x-amz-meta-c_d: three", b"x_amz-meta-e: forged"]
    seen = _environ(server, b"/environ", *sent, *metadata)
    assert "forged" not in json.dumps(seen)
    assert (seen["HTTP_X_AMZ_ACL"], seen["HTTP_X_AMZ_META_A_B"]) == ("meant", "one")
    assert seen["HTTP_X_AMZ_META_C_D"] == "two,three"
    assert set(seen["moto.preserved_header_names"].values()) == {"x-amz-meta-a_b", "x-amz-meta-c_d"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        b"GET / HTTP/1.1\r\nBig: " + b"x" * 100_000 + b"\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"GET /\x0b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n B: folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_a_400_and_the_server_lives_on(
    server: int, client: http.client.HTTPConnection, request_bytes: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server), timeout=10) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert _ask(client, "GET", "/")[0] == 200


def test_an_application_that_fails_takes_its_connection_with_it_and_is_told_of() -> None:
    def app(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        raise ValueError("in the middle")

    listener = socket.create_server(("127.0.0.1", 0))
    told: list[str] = []
    http_server = HttpServer(listener, app, on_error=told.append)
    http_server.start()
    assert _say(listener.getsockname()[1], b"GET / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n5\r\nbegun\r\n")
    assert ["ValueError: in the middle" in text for text in told] == [True]
    http_server.close()


def test_peers_that_open_and_forget_do_not_shut_the_others_out() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    http_server = HttpServer(listener, _tell, limit=2, patience_sec=0.3)
    http_server.start()
    idle = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    idle[0].sendall(b"GET / HT")
    client = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
    assert _ask(client, "GET", "/")[0] == 200
    for connection in (client, *idle):
        connection.close()
    http_server.close()


def test_peers_that_prove_nothing_make_room_for_those_that_do() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/known":
            environ[PEER_IS_KNOWN]()
        return _tell(environ, start_response)

    listener = socket.create_server(("127.0.0.1", 0))
    http_server = HttpServer(listener, app, strangers=3)
    http_server.start()
    known = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
    assert _ask(known, "GET", "/known")[0] == 200
    oldest = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
    assert _ask(oldest, "GET", "/")[0] == 200
    strangers = [socket.create_connection(listener.getsockname()) for _ in range(20)]
    assert oldest.sock.recv(1) == b""
    assert _ask(known, "GET", "/")[0] == 200
    for connection in (known, oldest, *strangers):
        connection.close()
    http_server.close()


def test_a_server_that_gets_no_thread_for_a_while_serves_again_afterwards(client: http.client.HTTPConnection) -> None:
    usual = threading.stack_size(1 << 46)  # there is no such stack
    try:
        for _ in range(3):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                _first_line(client)
            client.close()
    finally:
        threading.stack_size(usual)
    assert _first_line(client) == b"onetwo"


def _first_line(client: http.client.HTTPConnection) -> bytes:
    client.request("GET", "/parts")
    return client.getresponse().readline()

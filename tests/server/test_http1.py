"""The HTTP of both ends: what one writes the other reads, in whatever pieces it comes."""

from __future__ import annotations

import random

import pytest

from pytest_fargate_sandbox.server.requests.http1 import (
    Disconnected,
    Malformed,
    Payload,
    Reader,
    answer_head,
    chunk,
    last_chunk,
    open_body,
    read_answer_head,
    read_request_head,
    request_head,
    send_chunked,
)


def reader_of(data: bytes, seed: int = 0) -> Reader:
    """Gives the data in pieces of random size."""
    source, rest = random.Random(seed), bytearray(data)

    def receive(most: int) -> bytes:
        size = min(most, source.choice((1, 2, 3, 7, 100, 5000, 1_000_000)))
        taken = bytes(rest[:size])
        del rest[:size]
        return taken

    return Reader(receive)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_sent_in_chunks_arrives_in_whatever_pieces(seed: int) -> None:
    source = random.Random(seed)
    blocks = [source.randbytes(source.choice((0, 1, 100, 16384, 16385, 300_000))) for _ in range(10)]
    blocks = [block for block in blocks if block]
    sent: list[bytes] = []
    pending = send_chunked(sent.append, request_head("/v1/x", "key", None), blocks)
    wire = b"".join(sent) + pending + last_chunk({"sha256": "abc"})
    reader = reader_of(wire + b"GET ", seed)
    head = read_request_head(reader)
    assert (head.method, head.target, head.fields["authorization"]) == ("POST", "/v1/x", "Bearer key")
    body = open_body(reader, head.fields)
    assert Payload(body).read_all(1 << 30) == b"".join(blocks)
    assert body.finished
    assert body.trailers == {"sha256": "abc"}
    assert reader.read_some(4)[:1] == b"G"


def test_an_answer_with_a_length_is_read_to_its_end_and_no_further() -> None:
    reader = reader_of(answer_head(200, 5) + b"helloHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    head = read_answer_head(reader)
    payload = Payload(open_body(reader, head.fields))
    assert (head.status, head.keep_alive, payload.read_all(100)) == (200, True, b"hello")
    assert read_answer_head(reader).status == 404


def test_a_line_can_be_taken_from_the_front_of_a_payload() -> None:
    data = answer_head(200, None) + chunk(b"fir") + chunk(b"st\nsecond\nrest") + last_chunk()
    reader = reader_of(data)
    payload = Payload(open_body(reader, read_answer_head(reader).fields))
    assert payload.read_line(100) == b"first"
    assert payload.read_exactly(3) == b"sec"
    assert payload.read_line(100) == b"ond"
    assert payload.read_all(100) == b"rest"


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_an_early_end_is_never_taken_for_the_end(cut: int) -> None:
    whole = answer_head(200, None) + chunk(b"0123456789") + last_chunk()
    reader = reader_of(whole[:cut] if cut < len(whole) else whole[:-1])
    with pytest.raises(Disconnected):
        Payload(open_body(reader, read_answer_head(reader).fields)).read_all(100)


def test_a_line_without_an_end_is_refused() -> None:
    payload = Payload(open_body(reader_of(b"x" * 1000), {"content-length": "1000"}))
    with pytest.raises(Malformed, match="longer than 100"):
        payload.read_line(100)

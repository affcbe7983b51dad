"""What goes through a tunnel arrives as it was, whatever its way does; one stream holds up no other."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import Listener
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssm import outer_end
from pytest_fargate_sandbox.server.tunnel.lane import WINDOW
from pytest_fargate_sandbox.server.tunnel.records import (
    BEAT,
    DATA,
    LISTEN,
    MARK,
    MAX_DATA,
    OPEN,
    OPENED,
    REFUSED,
    Broken,
    Order,
    Record,
    RecordReader,
    RecordWriter,
)
from tests.free_ports import free_port
from tests.server.tunnel.rough_way import RoughWay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A port of this machine where each connection is served so, in a thread of its own."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(act: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve_one(sock: socket.socket) -> None:
            with sock:
                try:
                    act(sock)
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=serve_one, args=(sock,)))
                threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def echo_at_the_end(sock: socket.socket) -> None:
    """Answers only once the caller has ended his half."""
    sock.sendall(read_all(sock))


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def say(sock: socket.socket, data: bytes) -> bytes:
    """All of it, then the end of it; what comes back."""
    sock.settimeout(30)
    teller = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    teller.start()
    answer = read_all(sock)
    teller.join()
    return answer


def test_a_half_that_ended_does_not_end_the_other(serve: Callable[..., int]) -> None:
    data = os.urandom(700_000)
    with RoughWay() as way, way.outer.dial(serve(echo_at_the_end), 10) as stream:
        assert say(stream, data) == data


def test_many_streams_are_exact_though_messages_come_twice_and_late(serve: Callable[..., int]) -> None:
    port = serve(echo_at_the_end)
    with RoughWay(doubles=0.1, delay=0.0005) as way, ThreadPoolExecutor(8) as pool:

        def one(size: int) -> bool:
            data = os.urandom(size)
            with way.outer.dial(port, 20) as stream:
                return say(stream, data) == data

        assert all(pool.map(one, [0, 1, 1004, 1005, 1006, 30_000, WINDOW, WINDOW + 1] * 4))
        assert way.doubled > 20
        wait_until(lambda: len(way.outer.passage) == 0 or None, deadline=10, what="every stream's end")


def test_who_does_not_read_holds_up_nobody(serve: Callable[..., int]) -> None:
    done = threading.Event()
    asleep = serve(lambda _sock: done.wait(30))
    port = serve(echo_at_the_end)
    with RoughWay() as way, way.outer.dial(asleep, 10) as stuck:
        stuck.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stuck.sendall(bytes(32 << 20))
        began = time.monotonic()
        with way.outer.dial(port, 10) as stream:
            assert say(stream, b"x" * 100_000) == b"x" * 100_000
        assert time.monotonic() - began < 5
        done.set()


def test_who_does_not_read_here_holds_up_nobody(serve: Callable[..., int]) -> None:
    gushing = serve(lambda sock: sock.sendall(bytes(32 << 20)))
    port = serve(echo_at_the_end)
    with RoughWay() as way, way.outer.dial(gushing, 10) as unread:
        with way.outer.dial(port, 10) as stream:
            assert say(stream, b"x" * 100_000) == b"x" * 100_000
        unread.settimeout(30)
        assert len(read_all(unread)) == 32 << 20


@pytest.mark.parametrize("size", [WINDOW // 4, 4 * WINDOW])
def test_of_a_stream_so_much_is_under_way_as_is_wanted(serve: Callable[..., int], size: int) -> None:
    gushing = serve(lambda sock: sock.sendall(bytes(40 * WINDOW)))
    with RoughWay() as way:
        way.outer.passage.have_under_way(size)
        with way.outer.dial(gushing, 10) as stream, stream.makefile("rb") as came:
            lane = way.outer.passage._lanes[1]
            assert len(came.read(20 * WINDOW)) == 20 * WINDOW
            wait_until(
                lambda: size * 3 // 4 < len(lane._pending) <= size or None, deadline=10, what="what was under way"
            )
            way.outer.passage.have_under_way(size + WINDOW)
            assert len(came.read()) == 20 * WINDOW


def test_where_nobody_listens_a_dial_is_refused() -> None:
    port = free_port()
    with RoughWay() as way, pytest.raises(TransportError, match=f"port {port} .*refused"):
        way.outer.dial(port, 10)


def test_a_port_inside_leads_to_one_here(serve: Callable[..., int]) -> None:
    target = serve(echo_at_the_end)
    with RoughWay(doubles=0.2) as way:
        port = way.outer.listen(Listener("127.0.0.2", 0), ("127.0.0.1", target), 10)
        for size in (0, 200_000):
            with socket.create_connection(("127.0.0.2", port), 10) as caller:
                assert say(caller, b"y" * size) == b"y" * size
        with pytest.raises(TransportError, match="in use"):
            way.outer.listen(Listener("127.0.0.2", port), ("127.0.0.1", target), 10)
    with pytest.raises(ConnectionRefusedError):  # it ends with the tunnel
        socket.create_connection(("127.0.0.2", port), 10)


def test_a_caller_from_inside_is_reset_where_nobody_answers_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        target = probe.getsockname()
    with RoughWay() as way:
        port = way.outer.listen(Listener("127.0.0.1", 0), target, 10)
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port), 10) as caller:
            caller.recv(1)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1"])
def test_nothing_but_loopback_is_listened_at(address: str) -> None:
    with RoughWay() as way, pytest.raises(TransportError, match="only loopback"):
        way.outer.listen(Listener(address, 0), ("127.0.0.1", 1), 10)


def test_a_stream_that_breaks_there_is_broken_here(serve: Callable[..., int]) -> None:
    def vanish(sock: socket.socket) -> None:
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    port = serve(vanish)
    with RoughWay() as way, way.outer.dial(port, 10) as stream:
        stream.settimeout(10)
        with pytest.raises(OSError, match=r"reset|pipe"):
            any(stream.sendall(b"x") for _ in itertools.repeat(0))


def test_a_way_that_is_cut_ends_all_that_goes_through_it(serve: Callable[..., int]) -> None:
    port = serve(lambda sock: read_all(sock))
    with RoughWay() as way:
        stream = way.outer.dial(port, 10)
        stream.settimeout(10)
        way.cut()
        assert stream.recv(1) == b""
        stream.close()
        with pytest.raises(TransportError, match="has ended"):
            way.outer.dial(port, 10)


# --- an end that lies -----------------------------------------------------------------------------------------------
def lying(*records: tuple[int, int, bytes]) -> Callable[[socket.socket], None]:
    def lie(carrier: socket.socket) -> None:
        """To whoever has asked: what answers a question that was not put yet is no lie, and passed over."""
        writer = RecordWriter()
        with contextlib.suppress(OSError):
            carrier.recv(1000)
            carrier.sendall(b"".join(writer.record(*each) for each in records))
            read_all(carrier)

    return lie


@pytest.mark.parametrize(
    "records",
    [
        [(99, 0, b"")],
        [(OPENED, 1, b""), *[(DATA, 1, bytes(60_000))] * 12],
        [(OPEN, 2, b"7")] * 5000,
    ],
    ids=["a kind that there is not", "more than there is room for", "a crowd that does not listen"],
)
def test_an_inner_end_that_lies_only_ends_its_tunnel(records: list[tuple[int, int, bytes]]) -> None:
    with RoughWay(inner=lying(*records)) as way:
        with contextlib.suppress(TransportError), contextlib.closing(way.outer.dial(1, 10)) as stream:
            stream.settimeout(0.5)  # and nobody reads
            wait_until(lambda: way.error, deadline=10, what="the end of the tunnel")
        wait_until(lambda: way.error, deadline=10, what="the end of the tunnel")
        assert isinstance(way.error, Broken)


def test_who_was_not_asked_for_leads_nowhere(serve: Callable[..., int]) -> None:
    answers: list[bytes] = []

    def call(carrier: socket.socket) -> None:
        carrier.sendall(RecordWriter().record(OPEN, 2, b"%d" % serve(echo_at_the_end)))
        answers.append(carrier.recv(1000))

    with RoughWay(inner=call):
        wait_until(lambda: answers or None, deadline=10, what="an answer")
    assert b"nobody answers there" in answers[0]


@pytest.mark.parametrize("listener", [b"9" * 5000, b"\xb2", b"none"])
def test_who_calls_from_where_nobody_listens_is_refused(listener: bytes) -> None:
    answers: list[bytes] = []

    def call(carrier: socket.socket) -> None:
        carrier.sendall(RecordWriter().record(OPEN, 2, listener))
        answers.append(carrier.recv(1000))

    with RoughWay(inner=call) as way:
        wait_until(lambda: answers or None, deadline=10, what="an answer")
    assert b"nobody answers there" in answers[0]
    assert way.error is None


@pytest.mark.parametrize("port", [b"none", b"", b"9" * 5000, b"70000"])
def test_a_port_that_is_none_is_told_as_what_it_is(port: bytes) -> None:
    def answer(carrier: socket.socket) -> None:
        carrier.recv(1000)
        carrier.sendall(RecordWriter().record(OPENED, 1, port))
        read_all(carrier)

    with RoughWay(inner=answer) as way, pytest.raises(TransportError, match="is no port"):
        way.outer.listen(Listener("127.0.0.1", 0), ("127.0.0.1", 1), 10)


def test_of_those_who_call_from_inside_only_so_many_are_let_in(
    serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outer_end, "_MOST_STREAMS", 20)
    kinds: list[int] = []

    def crowd(carrier: socket.socket) -> None:
        reader, writer = RecordReader(Order()), RecordWriter()
        assert [each.kind for each in reader.feed(carrier.recv(1000))] == [LISTEN]
        carrier.sendall(writer.record(OPENED, 1, b"7"))
        for number in range(40):
            carrier.sendall(writer.record(OPEN, 2 * number + 2, b"1"))
        while data := carrier.recv(1 << 16):
            kinds.extend(each.kind for each in reader.feed(data))

    with RoughWay(inner=crowd) as way:
        way.outer.listen(Listener("127.0.0.1", 0), ("127.0.0.1", serve(read_all)), 10)
        wait_until(lambda: len(kinds) == 40 or None, deadline=10, what="forty answers")
    assert (kinds.count(OPENED), kinds.count(REFUSED)) == (20, 20)


# --- records --------------------------------------------------------------------------------------------------------
def test_a_request_that_came_twice_is_passed_over_and_a_record_that_is_missing_is_noticed() -> None:
    writer = RecordWriter()
    first, second, third = (writer.record(BEAT, number) for number in range(3))
    reader = RecordReader(Order())
    seen = [
        record.stream
        for byte in b"POST / HTTP/1.1\r\n\r\n{}\n" + first * 2 + second * 3
        for record in reader.feed(bytes([byte]))
    ]
    assert seen == [0, 1]
    with pytest.raises(Broken, match="record 3 comes, and 2"):
        reader.feed(writer.record(BEAT, 3))
    assert third


def test_numbers_begin_anew_when_they_are_used_up() -> None:
    writer, order = RecordWriter(), Order()
    reader = RecordReader(order)
    reader.feed(writer.record(BEAT, 0))
    writer._next = order._expected = (1 << 32) - 1
    records = [writer.record(BEAT, number) for number in range(3)]
    assert [each.stream for record in records for each in reader.feed(record * 2)] == [0, 1, 2]


def test_by_several_carriers_records_overtake_each_other_and_come_out_in_order_and_once() -> None:
    writer, order = RecordWriter(), Order()
    order.is_shared = True
    readers = [RecordReader(order) for _ in range(3)]
    for reader in readers:
        reader.feed(MARK)
    dice, seen = random.Random(7), [0]
    lines: list[list[bytes]] = [[], [], []]
    for number in range(500):
        record = writer.record(BEAT, number)
        if number:
            dice.choice(lines).extend([record] * dice.choice((1, 1, 1, 2)))
    while any(lines):
        number = dice.choice([number for number, line in enumerate(lines) if line])
        seen += [record.stream for record in readers[number].feed(lines[number].pop(0))]
    assert seen == list(range(500))


def test_who_sends_ever_more_behind_a_record_that_never_comes_is_broken_with() -> None:
    order = Order()
    order.is_shared = True
    with pytest.raises(Broken):
        all(order.take(number, Record(DATA, 1, bytes(MAX_DATA))) == [] for number in range(1, 1000))

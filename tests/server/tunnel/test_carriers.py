"""Further connections by which a tunnel's records come and go, at the end that is in the task."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.tunnel.inner_end import InnerEnd
from pytest_fargate_sandbox.server.tunnel.lane import WINDOW
from pytest_fargate_sandbox.server.tunnel.records import BEAT, MARK, OPEN, Broken, Order, Record, RecordWriter
from pytest_fargate_sandbox.server.tunnel.tunnels import Tunnels

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tunnel() -> Iterator[tuple[InnerEnd, socket.socket, threading.Thread]]:
    ours, theirs = socket.socketpair()
    inner = InnerEnd(theirs)
    serving = threading.Thread(target=inner.serve)
    serving.start()
    yield inner, ours, serving
    ours.close()
    serving.join(10)
    theirs.close()
    assert not serving.is_alive()


@contextlib.contextmanager
def joined(inner: InnerEnd) -> Iterator[socket.socket]:
    """The far end of one more, over TCP, since that is what can be reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()

    def join() -> None:
        with near:
            inner.join(near, 1, b"")

    joining = threading.Thread(target=join)
    joining.start()
    try:
        yield far
    finally:
        far.close()
        joining.join(10)
        assert not joining.is_alive()


def test_one_that_is_reset_before_records_go_by_it_is_only_dropped(
    tunnel: tuple[InnerEnd, socket.socket, threading.Thread],
) -> None:
    inner, ours, serving = tunnel
    with joined(inner) as far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
    ours.settimeout(10)
    ours.sendall(RecordWriter().record(BEAT, 0, b""))
    assert ours.recv(1000)
    assert serving.is_alive()


def test_who_joins_a_tunnel_that_cannot_begin_does_not_wait_for_it() -> None:
    (far, first), (other, second) = socket.socketpair(), socket.socketpair()
    tunnels, joins = Tunnels(), threading.Event()
    joining = threading.Thread(target=tunnels.serve, args=("it", 1, second, b"nonsense" * 9, joins.set), daemon=True)

    def begin() -> None:
        joining.start()
        joins.wait(10)
        joining.join(0.1)
        raise BrokenPipeError

    with contextlib.suppress(BrokenPipeError):
        tunnels.serve("it", 0, first, b"", begin)
    joining.join(10)
    assert not joining.is_alive()
    assert "it" not in tunnels
    for each in (far, first, other, second):
        each.close()


def test_one_that_stands_still_takes_no_time_of_the_processor(
    tunnel: tuple[InnerEnd, socket.socket, threading.Thread],
) -> None:
    """What is ready for it waits, while others that could take more are not asked again and again."""
    inner, ours, _ = tunnel
    told, writer = threading.Event(), RecordWriter()
    ours.sendall(writer.record(BEAT, 0, b""))  # none joins a tunnel by which nothing has gone
    assert ours.recv(1000)
    with joined(inner) as far, socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        far.sendall(MARK)
        far.settimeout(10)
        assert far.recv(1000)
        server.settimeout(10)
        port = b"%d" % server.getsockname()[1]
        ours.sendall(b"".join(writer.record(OPEN, 2 * number + 1, port) for number in range(16)))
        callers = [server.accept()[0] for _ in range(16)]
        for caller in callers:  # more than the ways take while nobody reads
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.send(bytes(WINDOW))
        told.wait(0.3)
        began = time.process_time()
        told.wait(0.5)
        assert time.process_time() - began < 0.2
        for caller in callers:
            caller.close()


def _wait(gate: threading.Event) -> None:
    gate.wait(10)


def test_an_end_of_one_by_which_records_go_ends_the_tunnel_whatever_else_comes_at_that_moment(
    tunnel: tuple[InnerEnd, socket.socket, threading.Thread],
) -> None:
    """Its owner closes it while the others have their turn."""
    inner, ours, serving = tunnel
    writer, gate, many = RecordWriter(), threading.Event(), 200
    ours.settimeout(10)
    ours.sendall(writer.record(BEAT, 0, b""))
    assert ours.recv(1000)
    with joined(inner) as far, socket.create_server(("127.0.0.1", 0), backlog=many) as server:
        far.sendall(MARK)
        far.settimeout(10)
        assert far.recv(1000)
        server.settimeout(10)
        port = b"%d" % server.getsockname()[1]
        ours.sendall(b"".join(writer.record(OPEN, 2 * number + 1, port) for number in range(many)))
        callers = [server.accept()[0] for _ in range(many)]
        inner._turns.call(lambda: _wait(gate))
        for caller in callers:
            caller.send(b"x")
        far.close()
        pause, _ = sys.getswitchinterval(), sys.setswitchinterval(1e-6)
        gate.set()
        serving.join(10)
        sys.setswitchinterval(pause)
        for caller in callers:
            caller.close()
    assert not serving.is_alive()


def test_records_that_are_kept_until_their_turn_count_for_what_they_cost() -> None:
    order = Order()
    order.is_shared = True
    kept = 0
    with contextlib.suppress(Broken):
        for number in range(1, 100_000):
            kept = number
            order.take(number, Record(BEAT, 0, b""))
    assert 10_000 < kept < 70_000

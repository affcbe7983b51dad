"""The main thread may be interrupted anywhere, by Ctrl-C or a test's time-out, and holds up nobody else."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssh.uninterrupted import Hands
from tests.echo_server import EchoServer, echoed
from tests.providers.conftest import tunnel_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.real_sshd import RealSshd


class Interrupted(BaseException):
    pass


@contextmanager
def interrupted_at_lock(number: int) -> Iterator[None]:
    """As by a signal that comes just when this thread has taken its lock of that number, counted from 0."""
    left = number

    def profile(_frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_return" and called.__name__ in ("acquire", "__enter__"):
            left -= 1
            if left == -1:
                raise Interrupted

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@contextmanager
def raising_on_signal() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("no_thread_left")
def test_a_conversation_that_is_interrupted_between_a_lock_and_its_use_leaves_the_tunnel_to_others(
    sshd: RealSshd, echo: EchoServer
) -> None:
    with tunnel_to(sshd) as tunnel, ThreadPoolExecutor(1) as another:
        for number in itertools.count():
            try:
                with interrupted_at_lock(number), closing(tunnel.dial(echo.port)) as stream:
                    stream.sendall(bytes(100_000))
                    stream.shutdown_write()
                    while stream.recv(5000):
                        pass
                    return
            except Interrupted:
                pass
            assert another.submit(lambda: echoed(tunnel.dial(echo.port), b"well")).result(10) == b"well"


def test_what_an_interrupted_caller_will_never_have_is_undone_and_the_next_has_his_own() -> None:
    hands, is_left, undone = Hands("hand"), threading.Event(), SimpleQueue[str]()

    def deed() -> str:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert is_left.wait(10)
        return "connection"

    with raising_on_signal():
        with pytest.raises(Interrupted):
            hands.do(deed, undone.put)
        is_left.set()
        assert undone.get(timeout=10) == "connection"
    assert hands.do(lambda: "another", undone.put) == "another"
    hands.end()
    assert undone.empty()


def test_hands_are_another_thread_for_the_main_one_alone_and_end_with_their_owner() -> None:
    hands = Hands("hand of a test")
    mine = threading.current_thread()
    assert hands.do(threading.current_thread) is hands.do(threading.current_thread) is not mine
    with ThreadPoolExecutor(1) as another:
        assert another.submit(hands.do, threading.current_thread).result() is not mine
    with pytest.raises(ZeroDivisionError):
        hands.do(lambda: 1 / 0)
    hands.end()
    assert hands.do(lambda: "late") == "late"
    wait_until(lambda: _names().isdisjoint({"hand of a test"}) or None, deadline=10, what="the end of the late one")


def _names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}

"""What a command gets to read when what was sent to it comes again, overlaps, is late, or is given up."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import RemoteFileNotFound, SandboxError
from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls
from pytest_fargate_sandbox.sandbox.exec.exec_connection import ConnectionPool, loopback
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.commands import intake
from pytest_fargate_sandbox.server.commands.intake import Intake
from pytest_fargate_sandbox.server.commands.waker import ALARM, Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.process import Process
    from tests.exec_server_process import ExecServerProcess


@pytest.fixture
def calls(shared_server: ExecServerProcess) -> Iterator[ExecCalls]:
    pool = ConnectionPool(loopback(shared_server.port), 20)
    yield ExecCalls(pool, shared_server.token, LIMITS)
    pool.close()


@pytest.fixture
def cat(shared_server: ExecServerProcess) -> Iterator[Process]:
    process = shared_server.client.spawn("cat")
    yield process
    process.kill()


class Typing:
    """Writes to a process as its client does, and as it had better not."""

    def __init__(self, calls: ExecCalls, process: Process) -> None:
        self._calls = calls
        self._id = process.id

    def __call__(self, offset: int, data: bytes = b"", **fields: bool) -> int:
        answer = self._calls.ask(protocol.Write(id=self._id, offset=offset, **fields), protocol.Taken, data)
        assert isinstance(answer, protocol.Taken)
        return answer.offset


@pytest.fixture
def typing(calls: ExecCalls, cat: Process) -> Typing:
    return Typing(calls, cat)


def test_what_comes_again_is_passed_over(typing: Typing, cat: Process) -> None:
    assert typing(0, b"one ") == 4
    assert typing(0, b"one ") == 4
    assert typing(2, b"e two ") == 8
    assert typing(0, b"one two") == 8
    assert typing(8, b"three", end=True) == 13
    assert typing(8, b"three", end=True) == 13
    assert typing(13, end=True) == 13
    assert cat.wait(60).stdout == "one two three"


def test_a_hole_is_refused(typing: Typing, cat: Process) -> None:
    typing(0, b"one")
    for data in (b"five", b""):
        with pytest.raises(SandboxError, match="byte 7 cannot come before byte 3"):
            typing(7, data, end=True)
    assert typing(3, b" two", end=True) == 7
    assert cat.wait(60).stdout == "one two"


def test_what_was_given_up_does_not_come_late(typing: Typing, cat: Process) -> None:
    assert typing(0, b"one") == 3
    assert typing(100, b" two", skip=True) == 104
    assert typing(3, b"late") == 104
    assert typing(200, end=True, skip=True) == 200
    assert cat.wait(60).stdout == "one two"


def test_behind_its_end_and_the_commands_nothing_is_taken(typing: Typing, cat: Process) -> None:
    typing(0, b"all", end=True)
    cat.wait(60)
    for offset in (0, 3):
        with pytest.raises(SandboxError, match="nobody reads"):
            typing(offset, b"all and more")
    assert typing(0, b"all") == 3


def test_a_command_that_closes_its_stdin_takes_no_more(shared_server: ExecServerProcess, calls: ExecCalls) -> None:
    process = shared_server.client.spawn("exec <&-; echo closed; sleep 30")
    assert process.read(timeout=10) == b"closed\n"
    with pytest.raises(SandboxError, match="nobody reads"):
        Typing(calls, process)(0, b"x")
    process.kill()


def test_any_number_of_writers_with_the_same_bytes_are_one(
    typing: Typing, cat: Process, shared_server: ExecServerProcess
) -> None:
    content = os.urandom(300_000)
    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(typing, 0, content[:end]) for end in range(len(content), 0, -40_000)]
        assert max(each.result() for each in held) == len(content)
    typing(len(content), end=True)
    assert cat.wait(20).stdout_bytes == content
    assert shared_server.client.exec("true").ok


def test_a_spawn_that_comes_twice_at_once_is_one_process_with_its_number(calls: ExecCalls, tmp_path: Path) -> None:
    """The second attempt may arrive while the first is still at it."""
    with ThreadPoolExecutor(4) as pool:
        for number in range(6):
            request = protocol.Spawn(id=protocol.new_command_id(), command=f"echo >> {tmp_path}/{number}; sleep 30")
            pids = {held.result().pid for held in [pool.submit(calls.ask, request, protocol.Spawned) for _ in range(4)]}
            assert len(pids) == 1
            assert pids != {0}
            calls.ask(protocol.Signal(id=request.id, signal=9, tree=True), protocol.Nothing)
    with ThreadPoolExecutor(4) as pool:
        request = protocol.Spawn(id=protocol.new_command_id(), command="true", cwd="/none")
        for held in [pool.submit(calls.ask, request, protocol.Spawned) for _ in range(4)]:
            assert isinstance(held.exception(), RemoteFileNotFound)


# --- back-pressure --------------------------------------------------------------------------------------------------
class Pump:
    """An intake on a pipe of ours, and what a command's pump does for it."""

    def __init__(self) -> None:
        self.waker = Waker()
        self.reading, writing = os.pipe()
        self.intake = Intake("id", threading.Condition())
        self.intake.open(writing, self.waker)

    def take(self, offset: int, data: bytes, **fields: bool) -> int:
        blocks = iter([data, b""] if data else [b""])
        return self.intake.take(protocol.Write(id="id", offset=offset, **fields), blocks.__next__)

    def read(self, count: int) -> bytes:
        return os.read(self.reading, count)


@pytest.fixture
def pump(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pump]:
    monkeypatch.setattr(intake, "WRITE_SEC", 0.1)
    pump = Pump()
    yield pump
    pump.intake.close()
    os.close(pump.reading)
    pump.waker.close()


def soon(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Timer(0.05, act)
    thread.start()
    return thread


def test_a_writer_is_told_in_time_how_much_a_slow_reader_took(pump: Pump) -> None:
    content = os.urandom(200_000)
    taken = pump.take(0, content, end=True)
    assert 0 < taken < len(content)
    assert os.read(pump.waker.fileno(), 10) == ALARM
    assert pump.take(taken, content[taken:], end=True) == taken
    got = pump.read(taken)
    while len(got) < len(content):
        pump.intake.pass_on()
        got += pump.read(1 << 20)
    assert got == content
    assert pump.take(taken, content[taken:], end=True) == len(content)
    assert pump.read(1) == b""


def test_one_block_is_held_and_no_more(pump: Pump) -> None:
    content = bytes(100_000)
    taken = pump.take(0, content)
    assert pump.take(len(content), content) == taken
    assert pump.take(2 * len(content), content, skip=True) == taken
    while pump.intake.pass_on():
        pump.read(1 << 20)
    assert pump.take(len(content), b"") == len(content)


def test_a_writer_does_not_wait_for_a_command_that_has_ended(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "WRITE_SEC", 30)
    thread, began = soon(pump.intake.close), time.monotonic()
    with pytest.raises(Exception, match="nobody reads"):
        pump.take(0, bytes(200_000))
    assert time.monotonic() - began < 10
    thread.join()


def test_what_nobody_reads_takes_no_memory(shared_server: ExecServerProcess) -> None:
    def resident() -> int:
        lines = Path(f"/proc/{shared_server.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def exec_one(_: int) -> bool:
        return shared_server.client.exec("sleep 60", timeout=1, stdin=bytes(8_000_000)).timed_out

    before = resident()
    with ThreadPoolExecutor(8) as pool:
        held = pool.map(exec_one, range(8))
        time.sleep(0.7)
        assert resident() - before < 16 * 1024
        assert all(held)

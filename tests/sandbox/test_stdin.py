"""What goes to a command's stdin, over connections that break and to commands that take their time: all of it, once."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.sandbox.exec.stdin_writer import LARGE_PIECE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.exec_server_process import ExecServerProcess
    from tests.fault_proxy import FaultProxy

CONTENT = random.Random(10).randbytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def client(server: ExecServerProcess, proxy: FaultProxy) -> Iterator[ExecClient]:
    """Reaches the server through the proxy."""
    client = ExecClient(port=proxy.port, token=server.token, limits=LIMITS._replace(breaks_sec=1.0))
    yield client
    client.close()


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The same content in each form in which it may be given."""
    (tmp_path / "content").write_bytes(CONTENT)
    with (tmp_path / "content").open("rb") as file:
        yield {"bytes": CONTENT, "path": tmp_path / "content", "file": file}[request.param]


# --- cuts -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["bytes", "path", "file"], indirect=True)
@pytest.mark.parametrize("where", [200, 700, 1_000_000, 1_500_000, 2_999_000, 3_000_500, 3_001_200])
def test_a_stream_goes_on_at_its_byte(
    client: ExecClient, proxy: FaultProxy, tmp_path: Path, source: Any, where: int
) -> None:
    proxy.cut_after(where)
    result = client.exec(f"echo run >> '{tmp_path}/runs'; sha256sum", stdin=source, timeout=60)
    assert result.stdout.split() == [DIGEST, "-"]
    assert (tmp_path / "runs").read_text() == "run\n"
    assert proxy.left is None


def test_it_comes_further_with_each_of_many_connections(client: ExecClient, proxy: FaultProxy) -> None:
    """More cuts than tries, and none that lets a whole piece through."""
    proxy.cut_every(LARGE_PIECE // 8)
    result = client.exec("sha256sum", stdin=CONTENT, timeout=60)
    proxy.left = None
    assert result.stdout.split() == [DIGEST, "-"]
    assert proxy.connections > 10


@pytest.mark.parametrize("seed", range(2))
def test_many_small_writes_arrive_once_and_in_order(client: ExecClient, proxy: FaultProxy, seed: int) -> None:
    chance = random.Random(seed)
    process = client.spawn("cat")
    expected = b""
    for number in range(100):
        if proxy.left is None and chance.random() < 0.2:
            proxy.cut_after(chance.randrange(1, 600))
        data = b"%d\n" % number * chance.randrange(1, 40)
        process.write(data)
        expected += data
    proxy.cut_after(chance.randrange(1, 600))
    process.write(b"", end=True)
    assert process.wait(20).stdout_bytes == expected


def test_a_silent_command_outlives_any_number_of_cuts(client: ExecClient, proxy: FaultProxy) -> None:
    stopped = threading.Event()

    def cut_often() -> None:
        while not stopped.wait(0.1):
            proxy.cut()

    thread = threading.Thread(target=cut_often)
    thread.start()
    try:
        assert client.exec("sleep 1.2; wc -c", stdin=CONTENT, timeout=60).stdout.strip() == str(len(CONTENT))
    finally:
        stopped.set()
        thread.join()
    assert proxy.connections > 6


# --- slow readers ---------------------------------------------------------------------------------------------------
def test_a_command_that_reads_late_gets_all_of_it(server: ExecServerProcess) -> None:
    """Later than the silence by which a dead connection is known: what the pipes did not hold was dropped, quietly."""
    client = ExecClient(port=server.port, token=server.token, limits=LIMITS._replace(silence_sec=0.3))
    content = CONTENT * 3
    result = client.exec("sleep 1.5; sha256sum", stdin=content, timeout=30)
    assert result.stdout.split() == [hashlib.sha256(content).hexdigest(), "-"]
    client.close()


def test_a_command_that_ends_without_reading_is_no_error(client: ExecClient, proxy: FaultProxy) -> None:
    for where in (1, 1_000_000, 1 << 40):
        proxy.cut_after(where)
        assert client.exec("head -c 70000 | wc -c; exit 3", stdin=CONTENT).stdout.strip() == "70000"
        assert client.exec("exec <&-; sleep 0.1; exit 3", stdin=CONTENT).return_code == 3


def test_a_child_that_holds_the_stdin_and_never_reads_keeps_nobody(client: ExecClient) -> None:
    began = time.monotonic()
    assert client.exec("exec 3<&0; sleep 30 <&3 >/dev/null 2>&1 & echo done", stdin=CONTENT).stdout == "done\n"
    assert time.monotonic() - began < 8


def test_its_time_out_ends_a_command_that_does_not_read(client: ExecClient) -> None:
    result = client.exec("echo before; sleep 60", stdin=CONTENT, timeout=0.5)
    assert (result.timed_out, result.stdout) == (True, "before\n")


def test_who_writes_more_than_is_read_waits(client: ExecClient) -> None:
    process = client.spawn("read line; sha256sum")
    ended: list[float] = []

    def write() -> None:
        process.write(b"first\n" + CONTENT, end=True)
        ended.append(time.monotonic())

    process.signal(signal.SIGSTOP)
    thread = threading.Thread(target=write)
    thread.start()
    thread.join(0.7)
    assert not ended
    process.signal(signal.SIGCONT)
    assert process.wait(20).stdout.split() == [DIGEST, "-"]
    thread.join(10)
    assert ended


def test_who_waits_is_told_that_nobody_will_read(client: ExecClient) -> None:
    process = client.spawn("sleep 60")
    killer = threading.Timer(0.3, process.kill)
    killer.start()
    with pytest.raises(SandboxError, match="nobody reads") as caught:
        process.write(CONTENT)
    assert not isinstance(caught.value, TransportError)
    killer.join()


def test_an_endless_stdin_is_read_as_far_as_it_is_wanted(client: ExecClient) -> None:
    with open("/dev/zero", "rb") as endless:  # noqa: PTH123
        assert client.exec("head -c 5000000 | wc -c", stdin=endless).stdout.strip() == "5000000"


# --- what is given up -----------------------------------------------------------------------------------------------
def test_after_a_write_that_was_given_up_the_next_one_arrives_whole(client: ExecClient) -> None:
    process = client.spawn(["cat"])
    process.write("before\n")
    process.signal(signal.SIGSTOP)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            process.write(CONTENT)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    process.signal(signal.SIGCONT)
    process.write("after\n", end=True)
    whole = process.wait(20).stdout_bytes
    given_up = whole[len(b"before\n") : -len(b"after\n")]
    assert whole == b"before\n" + given_up + b"after\n"
    assert CONTENT.startswith(given_up)
    assert len(given_up) < len(CONTENT)


def test_half_an_input_is_no_input(client: ExecClient, tmp_path: Path) -> None:
    class Broken:
        def __init__(self) -> None:
            self.parts = [CONTENT, OSError("the disk is gone")]

        def read(self, _: int) -> bytes:
            part = self.parts.pop(0)
            if isinstance(part, Exception):
                raise part
            return part

    with pytest.raises(OSError, match="the disk is gone"):
        client.exec(f"cd '{tmp_path}' && cat > copy && mv copy whole", stdin=Broken())  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["copy"]  # noqa: PTH208


def test_a_server_that_stays_away_ends_it(client: ExecClient, proxy: FaultProxy) -> None:
    process = client.spawn("cat")
    proxy.refuse()
    proxy.cut()
    with pytest.raises(TransportError):
        process.write("lost\n")
    proxy.admit()
    process.write("found\n", end=True)
    assert process.wait(60).stdout == "found\n"

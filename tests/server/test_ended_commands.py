"""Commands that have ended, kept for whoever comes back: all that they said, in little memory, up to a bound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.server.protocol import PREFIX, Attach
from pytest_fargate_sandbox.server.requests.http1 import request_head
from tests.exec_server_process import ExecServerProcess, altered_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.sandbox.exec.process import Process

MOST = 20
GONE = "of what nobody fetches"


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[ExecServerProcess]:
    """It keeps less than others do."""
    with altered_source(MOST_ENDED=MOST, _NEWEST=4, _MOST_BYTES=30_000_000):
        server = ExecServerProcess(tmp_path)
    yield server
    server.close()


def ended(server: ExecServerProcess, command: str, count: int) -> list[Process]:
    processes = []
    for _ in range(count):
        process = server.client.spawn(command)
        wait_until(lambda process=process: process.poll() is not None or None, deadline=20, what="the command's end")
        processes.append(process)
    return processes


def spools(server: ExecServerProcess) -> list[str]:
    """The files in which output lies."""
    return [name for name in server.client.exec("ls ${CONTAINER_LOG%/*}").stdout.split() if ".std" in name]


@pytest.mark.root  # others do not see into a server
def test_what_nobody_fetches_takes_little_memory_and_is_there_for_who_does(server: ExecServerProcess) -> None:
    def resident() -> int:
        lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def descriptors() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    ended(server, "head -c 60000 /dev/zero", 10)
    before, files_before = resident(), descriptors()
    both = ended(server, "head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2", 30)
    long = ended(server, "head -c 200000 /dev/zero", 30)
    assert resident() - before < 4_000
    assert descriptors() - files_before < 20
    for process in both:
        result = process.wait()
        assert (len(result.stdout_bytes), len(result.stderr_bytes)) == (60_000, 60_000)
    assert [len(process.wait().stdout_bytes) for process in long] == [200_000] * 30


def test_the_oldest_goes_first_and_whoever_comes_back_for_it_is_told(small_server: ExecServerProcess) -> None:
    late = small_server.client.spawn("read line; echo $line")
    processes = ended(small_server, "head -c 5000 /dev/zero", MOST + 5)
    late.write("late\n")
    assert late.wait(60).stdout == "late\n"
    for process in processes[:6]:
        with pytest.raises(SandboxError, match=GONE) as caught:
            process.wait()
        assert not isinstance(caught.value, TransportError)
    for process in processes[6:]:
        assert len(process.wait().stdout_bytes) == 5000
    assert len(spools(small_server)) == MOST - 4


def test_what_lies_on_the_disk_has_a_bound_too(small_server: ExecServerProcess) -> None:
    processes = ended(small_server, "head -c 7000000 /dev/zero", 7)
    assert len(spools(small_server)) == 4
    with pytest.raises(SandboxError, match=GONE):
        processes[2].wait()
    assert len(processes[3].wait().stdout_bytes) == 7_000_000
    # Larger than all that is kept of others, and it is there.
    (alone,) = ended(small_server, "head -c 40000000 /dev/zero", 1)
    assert len(alone.wait().stdout_bytes) == 40_000_000


def test_what_was_fetched_makes_room(small_server: ExecServerProcess) -> None:
    (kept,) = ended(small_server, "echo kept", 1)
    for _ in range(2 * MOST):
        assert small_server.client.exec("echo fetched").ok
    assert kept.wait().stdout == "kept\n"


def test_what_goes_while_it_is_being_read_is_no_short_answer(small_server: ExecServerProcess) -> None:
    (process,) = ended(small_server, "head -c 25000000 /dev/zero", 1)
    with small_server.connect() as connection:
        request = Attach(id=process.id, limit=1 << 30).to_json()
        connection.sendall(request_head(f"{PREFIX}attach", small_server.token, len(request)) + request)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        ended(small_server, "true", MOST)
        answer = b""
        while data := connection.recv(1 << 20):
            answer += data
    assert b'"return_code"' not in answer
    with pytest.raises(SandboxError, match=GONE):
        process.wait()

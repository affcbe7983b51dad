"""The exec server's client over a connection that is lost, stalls, or is somebody else's."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import (
    RemoteIsADirectory,
    SandboxError,
    TransportError,
)
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.exec_connection import loopback
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.server import protocol
from tests.exec_server_process import ExecServerProcess
from tests.free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fault_proxy import FaultProxy


@pytest.fixture
def client(server: ExecServerProcess) -> ExecClient:
    return server.client


@pytest.fixture
def far_client(server: ExecServerProcess, proxy: FaultProxy) -> Iterator[ExecClient]:
    """Reaches the server through the proxy."""
    client = ExecClient(port=proxy.port, token=server.token, limits=LIMITS._replace(breaks_sec=1.0))
    yield client
    client.close()


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


# --- exactly once ---------------------------------------------------------------------------------------------------
def test_a_command_whose_connection_breaks_goes_on_and_is_found_again(
    far_client: ExecClient, proxy: FaultProxy, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"

    def cut_at_first_word(_chunk: bytes) -> None:
        if proxy.connections == 1:
            proxy.cut()

    command = f"echo run >> '{runs}'; echo before; sleep 0.5; echo after; exit 3"
    result = far_client.exec(command, on_output=cut_at_first_word)
    assert (result.stdout, result.return_code) == ("before\nafter\n", 3)
    assert lines_of(runs) == 1
    assert proxy.connections == 2


@pytest.mark.parametrize("where", [1, 150, 300, 400, 5_000, 300_000, 1_000_000])
def test_no_byte_is_lost_or_doubled_wherever_the_connection_breaks(
    far_client: ExecClient, proxy: FaultProxy, tmp_path: Path, where: int
) -> None:
    runs = tmp_path / "runs"
    proxy.cut_after(where)
    result = far_client.exec(f"echo run >> '{runs}'; seq 1 200000; echo end >&2")
    assert result.stdout_bytes == b"".join(b"%d\n" % number for number in range(1, 200_001))
    assert (result.stderr, lines_of(runs)) == ("end\n", 1)


def test_many_cuts_are_survived_as_long_as_each_connection_brings_something(
    far_client: ExecClient, proxy: FaultProxy, tmp_path: Path
) -> None:
    runs, cuts = tmp_path / "runs", []

    def cut_often(chunk: bytes) -> None:
        if len(cuts) < 12:
            cuts.append(chunk)
            proxy.cut()

    result = far_client.exec(f"echo run >> '{runs}'; seq 1 400000", on_output=cut_often)
    assert result.stdout_bytes == b"".join(b"%d\n" % number for number in range(1, 400_001))
    assert (len(cuts), lines_of(runs)) == (12, 1)


def test_a_way_that_stalls_holds_up_its_own_command_only_and_takes_no_memory(
    far_client: ExecClient, proxy: FaultProxy, client: ExecClient, server: ExecServerProcess
) -> None:
    def resident() -> int:
        lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

    def stall_once(_chunk: bytes) -> None:
        if not stalled.is_set():
            stalled.set()
            proxy.stall()

    stalled, before, results = threading.Event(), resident(), []
    command = "head -c 100000000 /dev/zero"
    thread = threading.Thread(target=lambda: results.append(far_client.exec(command, on_output=stall_once)))
    thread.start()
    assert stalled.wait(10)
    for _ in range(50):
        assert client.exec("true").ok
    assert not results
    proxy.cut()
    proxy.flow()
    thread.join(60)
    assert len(results[0].stdout_bytes) == 100_000_000
    assert resident() - before < 64 * 1024


@pytest.mark.parametrize("megabytes", range(5, 15, 3))
def test_what_a_slow_reader_has_not_read_yet_is_not_lost(server: ExecServerProcess, megabytes: int) -> None:
    """The command ends while its client is behind, with its last words still in the pipe."""

    class SlowStream(socket.socket):
        has_slept = False

        def recv(self, size: int, flags: int = 0) -> bytes:
            data = super().recv(size, flags)
            if not self.has_slept and len(data) > 1000:
                self.has_slept = True
                time.sleep(0.3)  # longer than the server waits for the pipes of a command that has ended
            return data

    def connect(_timeout: float) -> SlowStream:
        stream = SlowStream(socket.AF_INET, socket.SOCK_STREAM)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        stream.connect(("127.0.0.1", server.port))
        return stream

    client = ExecClient(token=server.token, connect=connect)
    for size in (megabytes * 1_000_000, megabytes * 1_000_000 + 400_000):
        assert len(client.exec(f"head -c {size} /dev/zero").stdout_bytes) == size
        client.close()
        client = ExecClient(token=server.token, connect=connect)
    client.close()


def test_an_idle_connection_that_died_costs_nothing_but_a_new_one(
    far_client: ExecClient, proxy: FaultProxy, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for _ in range(3):
        assert far_client.exec(f"echo run >> '{runs}'").ok
        proxy.cut()
    assert lines_of(runs) == 3


def test_a_server_that_stays_away_is_an_error_within_seconds(far_client: ExecClient, proxy: FaultProxy) -> None:
    assert far_client.exec("true").ok
    proxy.refuse()
    proxy.cut()
    start = time.monotonic()
    with pytest.raises(TransportError):
        far_client.exec("true")
    with pytest.raises(TransportError):
        far_client.read_file("/etc/passwd")
    assert time.monotonic() - start < 15
    proxy.admit()
    assert far_client.exec("true").ok


@pytest.mark.parametrize(
    "act",
    [lambda client: client.exec("true"), lambda client: client.read_file("/etc/passwd")],
    ids=["exec", "read_file"],
)
def test_a_way_that_flaps_for_longer_than_a_few_tries_take_is_waited_for(
    proxy: FaultProxy, server: ExecServerProcess, act: Callable[[ExecClient], object]
) -> None:
    client = ExecClient(port=proxy.port, token=server.token)
    proxy.refuse()
    threading.Timer(1.5, proxy.admit).start()
    assert act(client)
    client.close()


def test_whoever_is_slow_with_his_output_has_an_honest_server(server: ExecServerProcess) -> None:
    """Only waiting for the sandbox counts against its time."""
    client = ExecClient(port=server.port, token=server.token, limits=LIMITS._replace(grace_sec=0.5))
    result = client.exec("echo 1; sleep 0.1; echo 2", timeout=0.5, on_output=lambda _: time.sleep(1))
    assert (result.stdout, result.return_code) == ("1\n2\n", 0)
    client.close()


def test_transfers_begin_again_when_the_connection_breaks(
    far_client: ExecClient, proxy: FaultProxy, tmp_path: Path
) -> None:
    content = random.Random(5).randbytes(3_000_000)
    proxy.cut_after(1_000_000)
    far_client.upload(f"{tmp_path}/there", content)
    proxy.cut_after(1_000_000)
    assert far_client.download(f"{tmp_path}/there") == content
    proxy.cut_after(1_000_000)
    far_client.download_to(f"{tmp_path}/there", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]


def test_a_tree_that_breaks_off_begins_again(far_client: ExecClient, proxy: FaultProxy, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(50):
        (source / str(number)).write_bytes(os.urandom(20_000))
    proxy.cut_after(400_000)
    far_client.upload_tree(source, f"{tmp_path}/there")
    proxy.cut_after(400_000)
    far_client.download_to(f"{tmp_path}/there", tmp_path / "back")
    for path in source.iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()
    names = {"back", "source", "there"}
    wait_until(lambda: {each.name for each in tmp_path.iterdir()} == names or None, deadline=10, what="a clean place")


def test_a_spawned_process_outlives_its_connection(far_client: ExecClient, proxy: FaultProxy) -> None:
    process = far_client.spawn("read line; echo got $line")
    proxy.cut()
    assert process.poll() is None
    process.write("it\n")
    proxy.cut()
    assert process.wait(60).stdout == "got it\n"


def test_a_process_that_never_stops_talking_can_be_read(client: ExecClient) -> None:
    process = client.spawn("yes")
    said = process.read(timeout=5)
    said += process.read(timeout=5)
    assert said == (b"y\n" * len(said))[: len(said)]
    assert process.poll() is None
    process.kill()
    assert process.wait(60).return_code == 137


def test_of_a_stream_that_is_behind_no_more_comes_at_once_than_of_the_other(client: ExecClient) -> None:
    process = client.spawn("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2")
    assert process.wait(20).ok
    _, output = process.look(299_000, 0, 0.0, 2000)
    assert {kind: len(data) for kind, data in output.items()} == {protocol.STDOUT: 1000, protocol.STDERR: 2000}


def test_writing_to_a_process_that_has_ended_says_so(client: ExecClient) -> None:
    process = client.spawn("exec true")
    process.wait(60)
    with pytest.raises(SandboxError, match="nobody reads") as caught:
        process.write("too late\n")
    assert not isinstance(caught.value, TransportError)
    process.signal(15)
    process.kill()
    assert process.poll() == 0


# --- giving up ------------------------------------------------------------------------------------------------------
def is_alive(client: ExecClient, pid: str) -> bool:
    return client.exec(f"grep -q '^State:.*[RSDT] ' /proc/{pid}/status").ok


def test_a_caller_that_gives_up_leaves_no_process(client: ExecClient) -> None:
    pids: list[str] = []

    def give_up(chunk: bytes) -> None:
        pids.extend(chunk.decode().split())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.exec("sleep 300 & echo $! $$; wait", on_output=give_up)
    assert len(pids) == 2
    wait_until(lambda: not any(is_alive(client, pid) for pid in pids) or None, deadline=30, what="the command's end")


def test_a_stdin_that_cannot_be_read_takes_its_command_down(client: ExecClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.exec(f"cat; touch '{tmp_path}/survived'", stdin=tmp_path / "missing", timeout=20)
    assert not (tmp_path / "survived").exists()


# --- who is there ---------------------------------------------------------------------------------------------------
def test_another_sandboxes_token_is_a_clear_error(server: ExecServerProcess) -> None:
    stranger = ExecClient(port=server.port, token="not-it")
    with pytest.raises(TransportError, match=r"take our token: .* another process holds"):
        stranger.exec("true")
    stranger.close()


def test_health_tells_whether_the_server_answers(client: ExecClient) -> None:
    assert client.health()
    assert not ExecClient(port=free_port()).health()


def test_waiting_for_a_server_asks_whether_there_is_any_sense_in_it() -> None:
    class GoneError(SandboxError):
        pass

    def still_alive() -> None:
        raise GoneError("the task is dead")

    with pytest.raises(GoneError):
        ExecClient(port=free_port()).wait_ready(30, still_alive)
    with pytest.raises(TimeoutError, match="refused"):
        ExecClient(port=free_port()).wait_ready(0.2)


def test_something_that_is_not_our_server_is_a_transport_error() -> None:
    import socketserver

    class Rude(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(TransportError, match="not our exec server"):
            ExecClient(port=other.server_address[1]).exec("true")
        other.shutdown()


def test_a_sender_does_not_wait_for_a_peer_that_has_hung_up_and_takes_nothing() -> None:
    """It had not read what came before, so only what it sent back, which is its end, tells."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as ends:
        stream = loopback(server.getsockname()[1])(30.0)
        ends.callback(stream.close)
        far, _ = server.accept()
        ends.callback(far.close)
        hanging_up = threading.Timer(0.3, far.shutdown, [socket.SHUT_WR])
        hanging_up.start()
        with pytest.raises(ConnectionResetError, match="hung up"):
            stream.sendall(bytes(64_000_000))
        hanging_up.join()


def test_a_closed_client_says_so(server: ExecServerProcess) -> None:
    client = ExecClient(port=server.port, token=server.token)
    assert client.exec("true").ok
    client.close()
    with pytest.raises(TransportError, match="closed"):
        client.exec("true")


# --- environment, bounds, files -------------------------------------------------------------------------------------
def test_a_client_that_is_forgotten_takes_its_connection_along(server: ExecServerProcess) -> None:
    """Without a warning, which would be an error here."""
    assert ExecClient(port=server.port, token=server.token).exec("true").ok
    gc.collect()


def test_the_base_environment_can_be_changed(tmp_path: Path) -> None:
    server = ExecServerProcess(tmp_path, environment={"FROM_IMAGE": "yes"})
    try:
        server.client.configure({"HOSTNAME": "task-1", "FROM_IMAGE": None, "ADDED": "a b"})
        result = server.client.exec("echo $HOSTNAME/${FROM_IMAGE-gone}/$ADDED", env={"ADDED": "c d"})
        assert result.stdout == "task-1/gone/c d\n"
    finally:
        server.close()


def test_much_output_takes_no_more_here_than_was_asked_for(client: ExecClient) -> None:
    result = client.exec("head -c 100000000 /dev/zero", max_output_bytes=1_000_000)
    assert (len(result.stdout_bytes), result.truncated) == (1_000_000, True)
    assert client.exec(f"wc -c < {result.stdout_spool}; rm {result.stdout_spool}").stdout.strip() == "100000000"


@pytest.mark.parametrize("size", [1_000, 5_000_000, 30_000_000])
def test_an_upload_that_is_refused_says_why_and_does_not_go_on(
    client: ExecClient, far_client: ExecClient, tmp_path: Path, size: int
) -> None:
    for one in (client, far_client):
        for _ in range(3):
            with pytest.raises(RemoteIsADirectory):
                one.upload(str(tmp_path), b"x" * size)
        assert one.exec("echo alive").stdout == "alive\n"

"""Files and trees, there and back, over connections that break: they go on in the middle, and are of one piece."""

from __future__ import annotations

import random
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.exec_connection import loopback
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.requests.http1 import chunk, request_head
from tests.exec_server_process import ExecServerProcess, altered_source
from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_connection import Stream
    from pytest_fargate_sandbox.sandbox.exec.limits import Limits

OLD, NEW = (random.Random(seed).randbytes(3_000_000) for seed in (1, 2))


@contextmanager
def client_of(
    proxy: FaultProxy, server: ExecServerProcess, between: Callable[[], object] = lambda: None, limits: Limits = LIMITS
) -> Iterator[ExecClient]:
    """Reaches the server through the proxy; ``between`` is called before each connection."""
    dial = loopback(proxy.port)

    def connect(timeout: float) -> Stream:
        between()
        return dial(timeout)

    client = ExecClient(connect=connect, token=server.token, limits=limits)
    with closing(client):
        yield client


@contextmanager
def cut_every(proxy: FaultProxy, byte_count: int) -> Iterator[None]:
    proxy.cut_every(byte_count)
    yield
    proxy.left = None


def fill(tree: Path, content: bytes) -> None:
    tree.mkdir(exist_ok=True)
    for number in range(30):
        (tree / f"file-{number}").write_bytes(content[number * 100_000 : (number + 1) * 100_000])


def whole(tree: Path) -> bytes:
    return b"".join((tree / f"file-{number}").read_bytes() for number in range(30))


# --- from there -----------------------------------------------------------------------------------------------------
def test_each_connection_brings_it_further(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    """More breaks than tries, and none that lets all of it through."""
    (tmp_path / "there").write_bytes(OLD)
    fill(tmp_path / "tree", OLD)
    with client_of(proxy, server) as client:
        for act in (
            lambda: client.download(f"{tmp_path}/there"),
            lambda: client.download_to(f"{tmp_path}/there", tmp_path / "here") or (tmp_path / "here").read_bytes(),
            lambda: client.download_to(f"{tmp_path}/tree", tmp_path / "back") or whole(tmp_path / "back"),
        ):
            before = proxy.connections
            with cut_every(proxy, 350_000):
                assert act() == OLD
            assert proxy.connections - before > 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "here", "there", "tree"]


def test_what_changes_meanwhile_is_read_anew(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    def change() -> None:
        """For the second connection, and no other."""
        if proxy.connections == 1:
            (tmp_path / "there").write_bytes(NEW)
            fill(tmp_path / "tree", NEW)

    for name, read in (("there", lambda path: path.read_bytes()), ("tree", whole)):
        (tmp_path / "there").write_bytes(OLD)
        fill(tmp_path / "tree", OLD)
        proxy.connections = 0
        with client_of(proxy, server, change) as client:
            proxy.cut_after(1_000_000)
            client.download_to(f"{tmp_path}/{name}", tmp_path / f"{name}-here")
        assert read(tmp_path / f"{name}-here") == NEW
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "there-here", "tree", "tree-here"]


def test_what_changes_all_the_time_is_an_error(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    def change() -> None:
        (tmp_path / "there").write_bytes(random.Random(proxy.connections).randbytes(3_000_000))

    with client_of(proxy, server, change) as client, cut_every(proxy, 2_000_000), pytest.raises(TransportError):
        client.download_to(f"{tmp_path}/there", tmp_path / "here", max_retries=0)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


# --- to there -------------------------------------------------------------------------------------------------------
def test_each_connection_brings_more_of_it_there(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(OLD)
    fill(tmp_path / "tree", OLD)
    with client_of(proxy, server) as client:
        for upload, arrived in (
            (lambda: client.upload(f"{tmp_path}/bytes", OLD), lambda: (tmp_path / "bytes").read_bytes()),
            (lambda: client.upload(f"{tmp_path}/there", tmp_path / "here"), lambda: (tmp_path / "there").read_bytes()),
            (lambda: client.upload_tree(tmp_path / "tree", f"{tmp_path}/trees"), lambda: whole(tmp_path / "trees")),
        ):
            before = proxy.connections
            with cut_every(proxy, 350_000):
                upload()
            assert arrived() == OLD
            assert proxy.connections - before > 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes", "here", "there", "tree", "trees"]


def test_a_snapshot_goes_on_both_ways(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    fill(tmp_path / "tree", OLD)
    with client_of(proxy, server) as client, cut_every(proxy, 350_000):
        before = proxy.connections
        client.save(f"{tmp_path}/tree", [], tmp_path / "snapshot")
        half = proxy.connections
        client.load(tmp_path / "snapshot", f"{tmp_path}/loaded")
        assert min(half - before, proxy.connections - half) > 6
    assert whole(tmp_path / "loaded") == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loaded", "snapshot", "tree"]


class LetsNothingLongThrough(FaultProxy):
    """It breaks at the first bytes of a file, for so many seconds; questions and their answers come through."""

    def __init__(self, target: tuple[str, int], seconds: float) -> None:
        super().__init__(target)
        self._until = time.monotonic() + seconds

    def _pour(self, data: bytes, sink: socket.socket) -> None:
        if b"/write-file " in data and time.monotonic() < self._until:
            self.cut()
            raise ConnectionError
        super()._pour(data, sink)


def test_connections_that_bear_an_answer_and_no_more_are_outlasted(server: ExecServerProcess, tmp_path: Path) -> None:
    limits = LIMITS._replace(breaks_sec=0.2)
    with LetsNothingLongThrough(("127.0.0.1", server.port), 2.5) as proxy, client_of(proxy, server, limits=limits) as c:
        c.upload(f"{tmp_path}/there", OLD)
    assert (tmp_path / "there").read_bytes() == OLD


def test_they_are_not_outlasted_for_ever(server: ExecServerProcess, tmp_path: Path) -> None:
    limits = LIMITS._replace(breaks_sec=0.2, standstill_sec=0.5)
    with LetsNothingLongThrough(("127.0.0.1", server.port), 60) as proxy, client_of(proxy, server, limits=limits) as c:
        began = time.monotonic()
        with pytest.raises(TransportError, match="lost the exec server"):
            c.upload(f"{tmp_path}/there", OLD)
        assert time.monotonic() - began < 30


def test_what_changes_here_meanwhile_is_sent_anew(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    def change() -> None:
        """For the second connection, and no other."""
        if proxy.connections == 1:
            (tmp_path / "file").write_bytes(NEW)
            fill(tmp_path / "tree", NEW)

    (tmp_path / "there").mkdir()
    for name, read in (("file", lambda path: path.read_bytes()), ("tree", whole)):
        (tmp_path / "file").write_bytes(OLD)
        fill(tmp_path / "tree", OLD)
        proxy.connections = 0
        with client_of(proxy, server, change) as client:
            proxy.cut_after(1_000_000)
            upload = client.upload_tree if name == "tree" else lambda local, remote: client.upload(remote, local)
            upload(tmp_path / name, f"{tmp_path}/there/{name}")
        assert read(tmp_path / "there" / name) == NEW
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["file", "tree"]


def test_an_attempt_that_is_stuck_is_cut_and_gone_on_from(
    proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path
) -> None:
    """Nobody has told the server that its connection is dead."""
    with client_of(proxy, server) as client:
        began = time.monotonic()
        client.upload(f"{tmp_path}/there", bytes(len(OLD)))
        honest_sec = time.monotonic() - began
    with client_of(proxy, server, limits=LIMITS._replace(work_sec=1.0 + 10 * honest_sec)) as client:
        proxy.swallow_after(2_000_000)
        client.upload(f"{tmp_path}/there", OLD)
        assert (tmp_path / "there").read_bytes() == OLD
        proxy.cut_swallowed()
        assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_cannot_land_says_so_to_the_connection_that_is_there(
    proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path
) -> None:
    fill(tmp_path / "tree", OLD)
    (tmp_path / "there" / "file-7").mkdir(parents=True)
    with client_of(proxy, server) as client:
        proxy.cut_after(1_000_000)
        with pytest.raises(SandboxError, match="file-7") as caught:
            client.upload_tree(tmp_path / "tree", f"{tmp_path}/there")
        assert not isinstance(caught.value, TransportError)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file-7"]


def test_who_does_not_come_again_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with altered_source("files.file_verbs", _COMES_AGAIN_SEC=1):
        server = ExecServerProcess(tmp_path)
    try:
        request = file_protocol.WriteFile(id=file_protocol.new_upload_id(), path=f"{tmp_path}/there/file")
        with server.connect() as connection:
            head = request_head(f"{protocol.PREFIX}write-file", server.token, None)
            connection.sendall(head + chunk(request.to_json()) + chunk(OLD))
            wait_until(lambda: staged(tmp_path / "there") or None, deadline=10, what="the beginning of it")
        time.sleep(0.3)
        assert staged(tmp_path / "there")
        wait_until(lambda: not staged(tmp_path / "there") or None, deadline=10, what="an end of waiting")
    finally:
        server.close()


def staged(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]

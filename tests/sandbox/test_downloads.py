"""What comes out of a sandbox over connections that break: it goes on in the middle, and is never of two minds."""

from __future__ import annotations

import random
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.exec_connection import loopback
from tests.exec_server_process import ExecServerProcess
from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_connection import Stream

OLD, NEW = (random.Random(seed).randbytes(3_000_000) for seed in (1, 2))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    server = ExecServerProcess(tmp_path_factory.mktemp("exec-server"))
    yield server
    server.close()


@pytest.fixture
def proxy(server: ExecServerProcess) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


@contextmanager
def client_of(proxy: FaultProxy, server: ExecServerProcess, between: Callable[[], object]) -> Iterator[ExecClient]:
    """Reaches the server through the proxy; ``between`` is called before each connection."""
    dial = loopback(proxy.port)

    def connect(timeout: float) -> Stream:
        between()
        return dial(timeout)

    client = ExecClient(connect=connect, token=server.token)
    with closing(client):
        yield client


@contextmanager
def cut_every(proxy: FaultProxy, byte_count: int) -> Iterator[None]:
    stopped = threading.Event()

    def cut_on_and_on() -> None:
        while not stopped.wait(0.002):
            if proxy.left is None:
                proxy.cut_after(byte_count)

    thread = threading.Thread(target=cut_on_and_on)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        proxy.left = None


def fill(tree: Path, content: bytes) -> None:
    tree.mkdir(exist_ok=True)
    for number in range(30):
        (tree / f"file-{number}").write_bytes(content[number * 100_000 : (number + 1) * 100_000])


def whole(tree: Path) -> bytes:
    return b"".join((tree / f"file-{number}").read_bytes() for number in range(30))


def test_each_connection_brings_it_further(proxy: FaultProxy, server: ExecServerProcess, tmp_path: Path) -> None:
    """More breaks than tries, and none that lets all of it through."""
    (tmp_path / "there").write_bytes(OLD)
    fill(tmp_path / "tree", OLD)
    with client_of(proxy, server, lambda: None) as client:
        for act in (
            lambda: client.download(f"{tmp_path}/there"),
            lambda: client.download_to(f"{tmp_path}/there", tmp_path / "here") or (tmp_path / "here").read_bytes(),
            lambda: client.download_to(f"{tmp_path}/tree", tmp_path / "back") or whole(tmp_path / "back"),
        ):
            before = proxy.connections
            with cut_every(proxy, 350_000):
                assert act() == OLD
            assert proxy.connections - before > 6
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

"""Cuts without end: what a sandbox is asked to do goes over one SSH connection that breaks again and again.

The oracle is a digest of each output and file. Seeded; the number of a round that fails says which cut it was.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from tests.exec_server_process import ExecServerProcess
from tests.fault_proxy import FaultProxy
from tests.providers.conftest import tunnel_to
from tests.real_sshd import RealSshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel

    CutRounds = Callable[[Callable[[], None], range], None]
    """What to do, and after how many bytes it may be cut."""

_ROUNDS, _SOAK_ROUNDS = 10, 300
_SIZE = 2_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    server = ExecServerProcess(tmp_path_factory.mktemp("exec-server"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSshd]:
    server = RealSshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.kill()


@pytest.fixture
def proxy(sshd: RealSshd) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", sshd.port)) as proxy:
        yield proxy


@pytest.fixture
def tunnel(sshd: RealSshd, proxy: FaultProxy, server: ExecServerProcess) -> Iterator[SshTunnel]:
    with tunnel_to(sshd, proxy.port, forward_port=server.port) as tunnel:
        yield tunnel


@pytest.fixture
def client(tunnel: SshTunnel, server: ExecServerProcess) -> Iterator[ExecClient]:
    client = ExecClient(token=server.token, connect=lambda timeout: tunnel.dial(server.port, timeout))
    yield client
    client.close()


@pytest.fixture
def port_client(tunnel: SshTunnel, server: ExecServerProcess) -> Iterator[ExecClient]:
    """By way of the tunnel's local port: each connection is a relay."""
    client = ExecClient(port=tunnel.local_port, token=server.token)
    yield client
    client.close()


@pytest.fixture
def cut_rounds(pytestconfig: pytest.Config, proxy: FaultProxy, tunnel: SshTunnel) -> CutRounds:
    """Does it again and again, each time cut once somewhere; descriptors and threads are then as before."""

    def run(act: Callable[[], None], where: range) -> None:
        chance = random.Random(20)
        rounds = _SOAK_ROUNDS if pytestconfig.getoption("soak") else _ROUNDS
        act()
        before = _holdings()
        for _ in range(rounds):
            proxy.cut_after(chance.choice(where))
            act()
        proxy.cut_after(1 << 40)
        assert tunnel.check_health() or tunnel.reconnect() is None
        wait_until(lambda: _no_more_than(before), deadline=10, what="descriptors and threads as before")

    return run


def _holdings() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208


def _no_more_than(before: tuple[int, int]) -> bool:
    now = _holdings()
    if any(there > then for there, then in zip(now, before, strict=True)):
        open_now = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()]
        raise NotYet(f"(descriptors, threads) were {before}, are {now}: {open_now}, {threading.enumerate()}")
    return True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["client", "port_client"])
def either_client(request: pytest.FixtureRequest) -> ExecClient:
    client: ExecClient = request.getfixturevalue(request.param)
    return client


@pytest.fixture
def tree(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    """Many small files, so that who unpacks is behind who sends."""
    chance = random.Random(2)
    tree = tmp_path / "source"
    tree.mkdir()
    for number in range(600 if pytestconfig.getoption("soak") else 100):
        (tree / str(number)).write_bytes(chance.randbytes(4096))
    return tree


def _tar_size(tree: Path) -> int:
    return sum(512 + path.stat().st_size for path in tree.iterdir())


def _same(one: Path, other: Path) -> bool:
    return {path.name: _digest(path.read_bytes()) for path in one.iterdir()} == {
        path.name: _digest(path.read_bytes()) for path in other.iterdir()
    }


def test_commands_that_are_cut_hear_all_say_all_and_run_once(
    either_client: ExecClient, cut_rounds: CutRounds, tmp_path: Path
) -> None:
    content = random.Random(6).randbytes(_SIZE // 2)
    runs = []

    def act() -> None:
        runs.append(1)
        result = either_client.exec(f"echo run >> {tmp_path}/runs; cat", stdin=content)
        assert _digest(result.stdout_bytes) == _digest(content)

    cut_rounds(act, range(_SIZE))
    assert (tmp_path / "runs").read_text() == "run\n" * len(runs)


def test_downloads_that_are_cut_arrive_whole(either_client: ExecClient, cut_rounds: CutRounds, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(_SIZE)
    (tmp_path / "there").write_bytes(content)

    def act() -> None:
        either_client.download_to(f"{tmp_path}/there", tmp_path / "here")
        assert _digest((tmp_path / "here").read_bytes()) == _digest(content)

    cut_rounds(act, range(_SIZE))


def test_trees_that_are_cut_on_their_way_here_arrive_whole(
    either_client: ExecClient, cut_rounds: CutRounds, tree: Path, tmp_path: Path
) -> None:
    def act() -> None:
        either_client.download_to(str(tree), tmp_path / "here")
        assert _same(tree, tmp_path / "here")

    cut_rounds(act, range(_tar_size(tree)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "source"]


def test_trees_that_are_cut_on_their_way_there_land_once(
    either_client: ExecClient, cut_rounds: CutRounds, tree: Path, tmp_path: Path
) -> None:
    targets = (tmp_path / "there" / str(number) for number in itertools.count())

    def act() -> None:
        target = next(targets)
        either_client.upload_tree(tree, str(target))
        assert _same(tree, target)

    # About where a tree ends: the server has all of it and moves it into its place, while its client hears nothing.
    cut_rounds(act, range(_tar_size(tree) * 95 // 100, _tar_size(tree) * 105 // 100))
    assert not list(tmp_path.rglob(".fargate-sandbox-*"))


def test_files_that_are_cut_on_their_way_there_land_whole(
    either_client: ExecClient, cut_rounds: CutRounds, tmp_path: Path
) -> None:
    content = random.Random(4).randbytes(_SIZE)

    def act() -> None:
        either_client.upload(f"{tmp_path}/there", content)
        assert _digest((tmp_path / "there").read_bytes()) == _digest(content)

    cut_rounds(act, range(_SIZE * 105 // 100))
    wait_until(lambda: len(list(tmp_path.iterdir())) == 1 or None, deadline=5, what="no staging is left")


# --- black holes ----------------------------------------------------------------------------------------------------
_SHORT = 1.0
_HEALS_WITHIN = 5.0
"""With ``_SHORT``; most of it for a machine that does much else."""


@pytest.fixture
def short_tunnel(sshd: RealSshd, proxy: FaultProxy, server: ExecServerProcess) -> Iterator[SshTunnel]:
    with tunnel_to(sshd, proxy.port, forward_port=server.port, dead_after=_SHORT) as tunnel:
        yield tunnel


@pytest.fixture(params=["channel", "local port"])
def short_client(
    request: pytest.FixtureRequest, short_tunnel: SshTunnel, server: ExecServerProcess
) -> Iterator[ExecClient]:
    if request.param == "channel":
        client = ExecClient(token=server.token, connect=lambda timeout: short_tunnel.dial(server.port, timeout))
    else:
        client = ExecClient(port=short_tunnel.local_port, token=server.token)
    yield client
    client.close()


def _run(client: ExecClient, _directory: Path) -> None:
    numbers = b"".join(b"%d\n" % number for number in range(1, 200_001))
    assert client.exec("seq 1 200000; sleep 0.5; echo end", timeout=20).stdout_bytes == numbers + b"end\n"


def _spawn(client: ExecClient, _directory: Path) -> None:
    process = client.spawn("seq 1 200000; sleep 0.5; echo end")
    assert process.wait(20).stdout_bytes.endswith(b"200000\nend\n")


def _there_and_back(client: ExecClient, directory: Path) -> None:
    content = random.Random(3).randbytes(_SIZE)
    client.upload(f"{directory}/there", content)
    assert client.download(f"{directory}/there") == content


@pytest.mark.parametrize("where", [2_000, 900_000, 3_000_000])
@pytest.mark.parametrize("act", [_run, _spawn, _there_and_back])
def test_a_black_hole_costs_seconds_and_nothing_else(
    short_client: ExecClient,
    proxy: FaultProxy,
    tmp_path: Path,
    act: Callable[[ExecClient, Path], None],
    where: int,
) -> None:
    act(short_client, tmp_path)
    proxy.swallow_after(where)
    began = time.monotonic()
    act(short_client, tmp_path)
    assert time.monotonic() - began < _HEALS_WITHIN

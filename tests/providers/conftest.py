from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.echo_server import EchoServer
from tests.fault_proxy import FaultProxy
from tests.real_sshd import RealSshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[RealSshd]:
    server = RealSshd(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def proxy(sshd: RealSshd) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", sshd.port)) as proxy:
        yield proxy


@pytest.fixture
def tunnel(sshd: RealSshd) -> Iterator[SshTunnel]:
    with tunnel_to(sshd) as tunnel:
        yield tunnel


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """What the test starts through us has to be gone when it ends."""
    before = set(threading.enumerate())
    yield

    def probe() -> bool:
        new = [thread for thread in threading.enumerate() if thread not in before]
        left = [each for each in new if "tunnel" in each.name or type(each).__name__ in {"Transport", "Timer"}]
        if left:
            raise NotYet(f"still there: {left}")
        return True

    wait_until(probe, deadline=10, what="the end of all threads")


def tunnel_to(sshd: RealSshd, port: int | None = None, **more: object) -> SshTunnel:
    return SshTunnel(
        host="127.0.0.1",
        port=port or sshd.port,
        user=_user(),
        private_key=more.pop("private_key", sshd.user_key),  # type: ignore[arg-type]
        host_key=more.pop("host_key", sshd.host_key.public),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def _user() -> str:
    import getpass

    return getpass.getuser()

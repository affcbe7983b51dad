"""The sidecar's script, for real: PID 1 of namespaces, in Debian's root and in one of busybox."""

from __future__ import annotations

import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.config import SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from pytest_fargate_sandbox.sandbox.task.sidecar_container import (
    health_script,
    sidecar_environment,
    sidecar_script,
)
from tests.echo_server import EchoServer, echoed
from tests.fresh_keys import fresh_key_pair
from tests.sandbox.script_container import ScriptContainer, busybox_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("namespaces", "sshd")]


class Sidecar(ScriptContainer):
    """The script as a task's sidecar."""

    def __init__(self, place: Path, lower: Path, **environment: str) -> None:
        self.host_key, self.user_key = fresh_key_pair(), fresh_key_pair()
        told = sidecar_environment(
            SshSidecarConfig(), authorized_key=self.user_key.public, host_key=self.host_key.private, ttl=60
        )
        told[names.ENV_SSHD_PORT] = "2222"
        super().__init__(place, lower, ["/bin/sh", "-c", sidecar_script()], {**told, **environment})

    def tunnel(self, port: int, **more: object) -> SshTunnel:
        more = {"private_key": self.user_key, "host_key": self.host_key.public, **more}
        return SshTunnel(host="127.0.0.1", port=port, **more)  # type: ignore[arg-type]

    def listens(self) -> None:
        """Wait for its health check's yes."""
        wait_until(lambda: self.check(health_script()) == 0 or None, deadline=20, what="a healthy sidecar")


@pytest.fixture(params=["dash", "busybox"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """Starts a sidecar in Debian's root or in one of busybox."""
    started: list[Sidecar] = []

    def start(**environment: str) -> Sidecar:
        lower = busybox_root(tmp_path) if request.param == "busybox" else Path("/")
        started.append(Sidecar(tmp_path, lower, **environment))
        return started[-1]

    yield start
    for sidecar in started:
        print(sidecar.end())


def test_a_tunnel_reaches_ports_inside_and_opens_ports_inside(start: Callable[..., Sidecar]) -> None:
    sidecar = start()
    sidecar.listens()
    with (
        EchoServer() as echo,
        sidecar.proxy(2222) as proxy,
        sidecar.tunnel(proxy.port, reverses=[f"4000:127.0.0.1:{echo.port}"]) as tunnel,
    ):
        with sidecar.connect(4000) as client:  # from inside, over the reverse port, to our side
            assert echoed(client, b"out") == b"out"
        assert echoed(tunnel.dial(4000), b"in and out") == b"in and out"
        with pytest.raises(TransportError, match="nothing answers"):
            tunnel.dial(4001)


@pytest.mark.parametrize("start", ["busybox"], indirect=True)
def test_it_gives_nothing_but_forwarding_on_loopback(start: Callable[..., Sidecar], tmp_path: Path) -> None:
    sidecar = start()
    sidecar.listens()
    write_private(tmp_path / "id", sidecar.user_key.private)
    with sidecar.proxy(2222) as proxy:
        ssh = ["ssh", "-F", "none", "-i", f"{tmp_path}/id", "-p", str(proxy.port), "-o", "StrictHostKeyChecking=no"]
        ssh += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]

        def refused(*words: str) -> str:
            done = subprocess.run(
                [*ssh, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
            )
            assert done.returncode != 0
            assert done.stdout == b""
            return done.stderr.decode()

        assert "open failed" in refused("root@127.0.0.1", "id")
        refused("-tt", "root@127.0.0.1")
        refused("-s", "root@127.0.0.1", "sftp")
        assert "prohibited" in refused("-W", "192.0.2.1:80", "root@127.0.0.1")
        for address in ("0.0.0.0", "", "*", "192.0.2.1", "127.0.0.10"):
            assert "remote port forwarding failed" in refused(
                "-N", "-R", f"{address}:4000:127.0.0.1:1", "root@127.0.0.1"
            )
        refused("-o", "PubkeyAuthentication=no", "root@127.0.0.1", "id")
        with pytest.raises(TransportError, match="refuses our key"):
            sidecar.tunnel(proxy.port, private_key=fresh_key_pair()).open()


def test_it_is_healthy_when_the_reverse_ports_stand(start: Callable[..., Sidecar]) -> None:
    sidecar = start(**{names.ENV_REVERSE_PORTS: "4000,127.0.0.2:4000,4001"})
    reverses = ["4000:127.0.0.1:1", "127.0.0.2:4000:127.0.0.1:1"]
    with sidecar.proxy(2222) as proxy:
        with sidecar.tunnel(proxy.port, reverses=reverses) as tunnel:
            assert sidecar.check(health_script()) != 0
            tunnel.request_reverse(4001, "127.0.0.1", 1)
            assert sidecar.check(health_script()) == 0
        with sidecar.tunnel(proxy.port, reverses=["4001:127.0.0.1:1", *reverses[:1]]):
            assert sidecar.check(health_script()) != 0


def test_one_port_at_several_addresses_leads_to_several_places(start: Callable[..., Sidecar]) -> None:
    sidecar = start(**{names.ENV_HOSTS: "127.0.0.1\tone.example\n127.0.0.2\tother.example"})
    sidecar.listens()
    assert sidecar.check("head -n 2 /etc/hosts | grep -q '^127.0.0.2[[:space:]]other.example$'") == 0
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        reverses = [f"443:127.0.0.1:{one.getsockname()[1]}", f"127.0.0.2:443:127.0.0.1:{other.getsockname()[1]}"]
        with sidecar.proxy(2222) as proxy, sidecar.tunnel(proxy.port, reverses=reverses):
            for address, service in (("127.0.0.1", one), ("127.0.0.2", other)):
                service.settimeout(5)
                with sidecar.connect(443, address), service.accept()[0]:
                    pass  # accept() times out where it leads elsewhere


def test_everybody_may_write_to_the_work_folder_and_nobody_sees_the_keys(start: Callable[..., Sidecar]) -> None:
    sidecar = start()
    sidecar.listens()
    assert stat.S_IMODE((sidecar.shared / "work").stat().st_mode) == 0o1777
    assert b"PRIVATE KEY" not in Path(f"/proc/{sidecar.pid}/environ").read_bytes()
    assert not [file for file in sidecar.shared.rglob("*") if file.is_file()]
    assert sidecar.check('test "$(stat -c %a /run/fargate-sandbox-private)" = 700') == 0


def test_it_ends_the_task_when_its_time_is_over(start: Callable[..., Sidecar]) -> None:
    assert start(**{names.ENV_TTL: "1"}).wait() == names.EXIT_EXPIRED


def test_it_ends_at_once_when_told_to(start: Callable[..., Sidecar]) -> None:
    sidecar = start()
    sidecar.listens()
    started = time.monotonic()
    sidecar.terminate()
    assert sidecar.wait() == 143
    assert time.monotonic() - started < 1


def test_it_ends_when_its_sshd_does(start: Callable[..., Sidecar]) -> None:
    sidecar = start()
    sidecar.listens()
    sidecar.check("kill -9 $(pidof sshd)")
    assert sidecar.wait() == 1
    assert "sshd ended by itself" in sidecar.end()


def test_a_python_is_brought_when_the_main_container_asks(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, Path("/"))
    try:
        sidecar.listens()
        assert not (sidecar.shared / "runtime").exists()
        (sidecar.shared / "work" / "want-runtime").touch()
        wait_until(lambda: (sidecar.shared / "runtime/ready").exists() or None, deadline=20, what="a runtime")
        _run_python_in_a_root_of_busybox(tmp_path, sidecar.shared / "runtime")
    finally:
        print(sidecar.end())


def test_an_ordered_python_belongs_to_its_health(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, Path("/"), **{names.ENV_RUNTIME: names.RUNTIME_DROP})
    try:
        sidecar.listens()
        assert (sidecar.shared / "runtime/ready").exists()
    finally:
        print(sidecar.end())


def _run_python_in_a_root_of_busybox(tmp_path: Path, runtime: Path) -> None:
    """As another user, and with nothing there but the runtime."""
    root = busybox_root(tmp_path)
    (root / "runtime").mkdir()
    program = "import hashlib, json, socket, ssl, subprocess, sys, zlib; print(sys.prefix)"
    python = ["/runtime/lib/ld.so", "--library-path", "/runtime/lib", "/runtime/bin/python3", "-I", "-S", "-B"]
    mount = ["unshare", "--mount", "/bin/sh", "-ec", 'mount --bind "$0" "$1/runtime"; shift; exec chroot "$@"']
    done = subprocess.run(
        [*mount, str(runtime), str(root), "--userspec=65534:65534", str(root), *python, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "/runtime\n", done.stderr


STUMBLING_APK = """#!/bin/sh
[ "$1 $2 $3" = "add --no-cache --quiet" ] || exit 2
mkdir "/tmp/stumbled-$4" 2>/dev/null && { echo "temporary error for $4"; exit 1; }
case $4 in
openssh-server) mv /packages/$4 /usr/sbin/sshd ;;
python3) printf '#!/bin/sh\nmkdir /run/fargate-sandbox/runtime && : >/run/fargate-sandbox/runtime/ready' >/bin/$4
         chmod 755 /bin/$4 ;;
esac
"""


def test_what_is_missing_is_installed_with_apk_though_its_mirror_stumbles(tmp_path: Path) -> None:
    root = busybox_root(tmp_path, sshd_at="packages/openssh-server")
    (root / "sbin/apk").write_text(STUMBLING_APK)
    (root / "sbin/apk").chmod(0o755)
    sidecar = Sidecar(tmp_path, root, **{names.ENV_RUNTIME: names.RUNTIME_DROP})
    sidecar.listens()
    told = sidecar.end()
    assert [f"temporary error for {package}" in told for package in ("openssh-server", "python3")] == [True, True]


def test_an_image_without_sshd_and_without_apk_says_so(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, busybox_root(tmp_path, sshd_at="packages/openssh-server"))
    assert sidecar.wait() != 0
    assert "openssh-server is not in this image" in sidecar.end()

"""The engine's own sidecar as a process of its own, met by our tunnel and by OpenSSH's client."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.sidecar.sidecar_server import check
from tests.echo_server import EchoServer, echoed
from tests.fault_proxy import FaultProxy
from tests.free_ports import free_port
from tests.fresh_keys import fresh_key_pair
from tests.sidecar_process import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shared_dir(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def sidecar(shared_dir: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(shared_dir)
    yield sidecar
    assert sidecar.end() == ""


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


def test_streams_lead_to_loopback(sidecar: Sidecar, echo: EchoServer) -> None:
    with sidecar.tunnel() as tunnel:
        assert echoed(tunnel.dial(echo.port), b"hello") == b"hello"
        assert echoed(tunnel.dial(echo.port), body := os.urandom(1 << 20)) == body


def test_a_task_may_have_years_to_live(shared_dir: Path, echo: EchoServer) -> None:
    sidecar = Sidecar(shared_dir, **{names.ENV_TTL: "100000000"})
    with sidecar.tunnel() as tunnel:
        assert echoed(tunnel.dial(echo.port), b"hello") == b"hello"
    assert sidecar.end() == ""


def test_the_end_of_a_stream_arrives_on_both_sides(sidecar: Sidecar, echo: EchoServer) -> None:
    with sidecar.tunnel() as tunnel:
        stream = tunnel.dial(echo.port)
        stream.sendall(b"bye")
        stream.shutdown_write()
        assert stream.recv(10) == b"bye"
        assert stream.recv(10) == b""


def test_a_port_where_nothing_listens_is_told(sidecar: Sidecar) -> None:
    with sidecar.tunnel() as tunnel:
        with pytest.raises(TransportError, match="nothing answers at"):
            tunnel.dial(free_port())
        assert tunnel.check_health()


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com", "0.0.0.0", "::1", "127.0.0.2"])
def test_nothing_but_loopback_is_reached(sidecar: Sidecar, echo: EchoServer, host: str) -> None:
    with sidecar.tunnel() as tunnel, pytest.raises(TransportError, match="Administratively prohibited"):
        tunnel.dial(echo.port, host=host)


def test_there_is_no_shell_no_command_and_no_subsystem(sidecar: Sidecar) -> None:
    import paramiko

    with sidecar.tunnel() as tunnel:
        assert tunnel._connection is not None
        with pytest.raises(paramiko.ChannelException, match="Administratively prohibited"):
            tunnel._connection._transport.open_session()


def test_another_key_is_refused(sidecar: Sidecar) -> None:
    with pytest.raises(TransportError, match="refuses our key"):
        sidecar.tunnel(private_key=fresh_key_pair()).open()


def test_several_keys_may_be_let_in(shared_dir: Path) -> None:
    first, second = fresh_key_pair(), fresh_key_pair()
    lines = f"# the team's\nrestrict,port-forwarding {first.public} first\n{second.public}\n"
    sidecar = Sidecar(shared_dir, **{names.ENV_AUTHORIZED_KEY: lines})
    for key in (first, second):
        sidecar.tunnel(private_key=key).__enter__().close()
    assert sidecar.end() == ""


def test_it_shows_the_host_key_that_it_was_given(sidecar: Sidecar) -> None:
    with pytest.raises(TransportError, match="somebody else answers"):
        sidecar.tunnel(host_key=fresh_key_pair().public).open()


@pytest.mark.needs("ssh")
def test_openssh_can_use_it(sidecar: Sidecar, echo: EchoServer, tmp_path: Path) -> None:
    write_private(tmp_path / "id", sidecar.user_key.private)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sidecar.port} {sidecar.host_key.public}\n")
    options = [
        "IdentitiesOnly=yes",
        f"UserKnownHostsFile={tmp_path}/known",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
    ]
    command = ["ssh", "-F", "none", "-i", f"{tmp_path}/id", "-p", str(sidecar.port), "-W", f"127.0.0.1:{echo.port}"]
    command += [word for option in options for word in ("-o", option)]
    done = subprocess.run([*command, "root@127.0.0.1"], input=b"hello", capture_output=True, timeout=20, check=False)
    assert done.stdout == b"hello", done.stderr


# --- reverse ports and health ---------------------------------------------------------------------------------------


def test_a_reverse_port_leads_to_the_client(sidecar: Sidecar, echo: EchoServer) -> None:
    port = free_port()
    with (
        sidecar.tunnel(reverses=[f"{port}:127.0.0.1:{echo.port}"]),
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        assert echoed(client, b"out") == b"out"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close(), deadline=30, what="the port's end")


def test_a_new_tunnel_takes_over_the_port_of_one_that_stalls(
    sidecar: Sidecar, echo: EchoServer, shared_dir: Path
) -> None:
    port = free_port()
    reverses = [f"{port}:127.0.0.1:{echo.port}"]
    with FaultProxy(("127.0.0.1", sidecar.port)) as proxy, sidecar.tunnel(proxy.port, reverses=reverses):
        proxy.stall()
        with sidecar.tunnel(reverses=reverses), socket.create_connection(("127.0.0.1", port)) as client:
            assert echoed(client, b"taken over") == b"taken over"
            proxy.cut()
            assert check({names.ENV_REVERSE_PORTS: str(port)}, str(shared_dir)) == 0


def test_it_is_healthy_when_all_reverse_ports_stand(sidecar: Sidecar, echo: EchoServer, shared_dir: Path) -> None:
    ports = [free_port(), free_port()]
    environment = {names.ENV_REVERSE_PORTS: ",".join(map(str, ports))}
    with sidecar.tunnel(reverses=[f"{ports[0]}:127.0.0.1:{echo.port}"]) as tunnel:
        assert check({}, str(shared_dir)) == 0
        assert check(environment, str(shared_dir)) == 1
        tunnel.request_reverse(ports[1], "127.0.0.1", echo.port)
        assert check(environment, str(shared_dir)) == 0


# --- the volume -----------------------------------------------------------------------------------------------------


def test_everybody_may_write_to_the_work_folder(sidecar: Sidecar, shared_dir: Path) -> None:
    with sidecar.tunnel():
        assert stat.S_IMODE((shared_dir / "work").stat().st_mode) == 0o1777


def test_a_python_is_brought_when_the_main_container_asks(tmp_path: Path, shared_dir: Path) -> None:
    source = tmp_path / "prepared"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "python3").write_text("a program")
    (source / "ready").touch()
    sidecar = Sidecar(shared_dir, **{names.ENV_RUNTIME_SOURCE: str(source)})
    with sidecar.tunnel():
        assert not (shared_dir / "runtime").exists()
        (shared_dir / "work" / "want-runtime").touch()
        wait_until(lambda: (shared_dir / "runtime" / "ready").exists() or None, deadline=30, what="a runtime")
    assert (shared_dir / "runtime" / "bin" / "python3").read_text() == "a program"
    assert sidecar.end() == ""


def test_an_ordered_python_comes_unasked_and_works_by_its_own_loader(shared_dir: Path) -> None:
    ordered = {names.ENV_RUNTIME: names.RUNTIME_DROP}
    sidecar = Sidecar(shared_dir, **ordered)
    try:
        wait_until(lambda: check(ordered, str(shared_dir)) == 0 or None, deadline=20, what="a runtime")
        runtime = shared_dir / "runtime"
        loader = [
            str(runtime / "lib" / "ld.so"),
            "--library-path",
            str(runtime / "lib"),
            str(runtime / "bin" / "python3"),
        ]
        program = "import sys, ssl, hashlib, zlib, ctypes; print(sys.prefix)"
        done = subprocess.run([*loader, "-I", "-S", "-B", "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(runtime)
    finally:
        assert sidecar.end() == ""


# --- its end --------------------------------------------------------------------------------------------------------


def test_it_ends_the_task_when_its_time_is_over(shared_dir: Path, echo: EchoServer) -> None:
    sidecar = Sidecar(shared_dir, **{names.ENV_TTL: "1"})
    with sidecar.tunnel() as tunnel:
        stream = tunnel.dial(echo.port)
        with pytest.raises(TransportError):
            stream.recv(1)
    assert sidecar.process.wait(30) == names.EXIT_EXPIRED
    assert sidecar.end() == ""


def test_it_ends_at_once_on_sigterm(sidecar: Sidecar) -> None:
    with sidecar.tunnel():
        sidecar.process.send_signal(signal.SIGTERM)
        assert sidecar.process.wait(5) == 128 + signal.SIGTERM


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 1000,
        b"x" * 100_000,
        b"SSH-1.0-old\r\n",
        b"SSH-2.0-x\r\n" + b"\xff" * 64,
    ],
)
def test_it_survives_garbage(sidecar: Sidecar, echo: EchoServer, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sidecar.port)) as client:
        try:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1000):
                pass
        except OSError:
            pass
    with sidecar.tunnel() as tunnel:
        assert echoed(tunnel.dial(echo.port), b"alive") == b"alive"


def test_a_crowd_of_silent_connections_does_not_keep_us_out_for_long(sidecar: Sidecar, echo: EchoServer) -> None:
    crowd = [socket.create_connection(("127.0.0.1", sidecar.port)) for _ in range(100)]
    try:
        for client in crowd[:20]:
            client.close()
        with sidecar.tunnel() as tunnel:
            assert echoed(tunnel.dial(echo.port), b"in") == b"in"
    finally:
        for client in crowd:
            client.close()


def test_connections_for_which_there_is_no_thread_do_not_end_the_task(sidecar: Sidecar, echo: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", sidecar.port)) as client:
        assert client.recv(4) == b"SSH-"
    pid, usual = sidecar.process.pid, resource.prlimit(sidecar.process.pid, resource.RLIMIT_AS)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + 4_000_000, usual[1]))  # no 8 MB stack
    with contextlib.ExitStack() as crowd:  # some have the stacks of threads that have ended
        clients = [crowd.enter_context(socket.create_connection(("127.0.0.1", sidecar.port))) for _ in range(12)]
        assert b"" in [_first_bytes(client) for client in clients]
    resource.prlimit(pid, resource.RLIMIT_AS, usual)
    with sidecar.tunnel() as tunnel:
        assert echoed(tunnel.dial(echo.port), b"alive") == b"alive"


def _first_bytes(client: socket.socket) -> bytes:
    try:
        return client.recv(4)
    except ConnectionError:
        return b""


def test_data_that_fills_both_ways_holds_nothing_up(sidecar: Sidecar, echo: EchoServer) -> None:
    """Both ends then have to answer what they are asked while neither can write."""
    body, port = os.urandom(1 << 20), free_port()

    def converse(to: int) -> bool:
        with socket.create_connection(("127.0.0.1", to), timeout=30) as client:
            return echoed(client, body) == body

    reverses = [f"{port}:127.0.0.1:{echo.port}"]
    with sidecar.tunnel(forward_port=echo.port, reverses=reverses) as tunnel, ThreadPoolExecutor(32) as pool:
        before = tunnel._connection
        assert all(pool.map(converse, [port, tunnel.local_port] * 16))
        assert tunnel._connection is before

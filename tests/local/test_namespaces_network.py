"""A task's network, as the namespaces runner makes it: what answers at its address, and what it can reach."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from pathlib import Path

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.components import program
from tests.fresh_keys import fresh_key_pair
from tests.local.running_tasks import PATIENCE, RunningTasks


def test_many_tasks_listen_on_the_same_port(tasks: RunningTasks) -> None:
    serve = (
        "import socket, sys\n"
        "s = socket.create_server(('0.0.0.0', 19542))\n"
        "while True:\n"
        "  c, _ = s.accept(); c.sendall(sys.argv[1].encode()); c.close()\n"
    )
    opened = [tasks.open() for _ in range(4)]
    for number, task in enumerate(opened):
        tasks.start("python3", "-c", serve, str(number), task=task)
    assert [_ask(task.address, 19542) for task in opened] == [str(number) for number in range(4)]
    assert len({task.address for task in opened}) == 4


def test_a_port_on_loopback_is_not_reachable_from_outside_and_a_closed_one_no_longer(tasks: RunningTasks) -> None:
    serve = (
        "import socket, time\n"
        "private = socket.create_server(('127.0.0.1', 7001)); public = socket.create_server(('', 7002))\n"
        "c, _ = public.accept(); c.sendall(b'last'); c.close(); public.close(); print('closed', flush=True)\n"
        "time.sleep(60)\n"
    )
    started = tasks.start("python3", "-c", serve)
    assert _ask(started.task.address, 7002) == "last"
    started.wait_for("closed")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((started.task.address, 7001))

    def refused() -> bool | None:
        try:
            socket.create_connection((started.task.address, 7002)).close()
        except ConnectionRefusedError:
            return True
        return None

    wait_until(refused, deadline=PATIENCE, what="the end of port 7002")


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_bytes_pass_a_relay_both_ways_unchanged(tasks: RunningTasks, family: str) -> None:
    echo = (
        "import socket\n"
        f"s = socket.create_server(('', 7003), family=socket.{family})\n"
        "c, _ = s.accept()\n"
        "while d := c.recv(65536): c.sendall(d)\n"
    )
    task = tasks.start("python3", "-c", echo).task
    payload = os.urandom(1 << 20) * 8
    with _connect(task.address, 7003) as client:
        sender = threading.Thread(target=lambda: (client.sendall(payload), client.shutdown(socket.SHUT_WR)))
        sender.start()
        received = bytearray()
        while chunk := client.recv(1 << 16):
            received += chunk
        sender.join()
    assert bytes(received) == payload


def test_the_containers_of_a_task_know_the_same_names(tasks: RunningTasks) -> None:
    task = tasks.open()
    assert tasks.run("echo 127.0.0.1 mine >> /etc/hosts", task=task, name="first") == (0, "")
    reader = None if os.geteuid() else "nobody"  # an engine without root has no user but root
    code, output = tasks.run("getent hosts mine; getent hosts $(hostname)", task=task, name="second", user=reader)
    assert code == 0
    assert output.split()[:3] == ["127.0.0.1", "mine", task.address]
    assert tasks.run("! getent hosts mine")[0] == 0


def test_the_gate_answers_inside_and_nothing_else_of_the_host_does(tasks: RunningTasks, gate: socket.socket) -> None:
    task = tasks.open(gate_port=4566)
    ask = (
        "import socket\n"
        "c = socket.create_connection(('127.0.0.1', 4566)); c.sendall(b'hello'); print(c.recv(99))\n"
        f"for p in ({gate.getsockname()[1]}, 22):\n"
        "  try: socket.create_connection(('127.0.0.1', p)); print('reached')\n"
        "  except ConnectionRefusedError: print('refused')\n"
    )
    started = tasks.start("python3", "-c", ask, task=task)
    assert started.wait().code == 0
    assert started.output == "b'HELLO'\nrefused\nrefused\n"


def test_more_ports_and_connections_than_are_bearable_harm_nobody(tasks: RunningTasks) -> None:
    greedy = (
        "import resource, socket, time\n"
        "listeners = [socket.create_server(('', 20000 + n)) for n in range(300)]\n"
        "clients = [socket.create_connection(('127.0.0.1', 4566)) for n in range(400)]\n"
        "print('all', flush=True)\n"
        "time.sleep(60)\n"
    )
    task = tasks.open(gate_port=4566)
    started = tasks.start("python3", "-c", greedy, task=task)
    started.wait_for("all")
    _connect(task.address, 20000).close()
    assert task.run_check("main", ["true"], 10.0) == 0
    assert tasks.run("echo others live") == (0, "others live\n")


def test_connections_that_take_all_descriptors_do_not_end_the_task() -> None:
    """Anybody on this machine may connect to it; each connection takes what six files take."""
    runner = NamespacesRunner(images={}, gate_address=("127.0.0.1", 9))
    tasks = RunningTasks(runner)
    try:
        resource.prlimit(runner._launcher.pid, resource.RLIMIT_NOFILE, (512, 512))
        listening = "import socket, time; there = socket.create_server(('', 8123), backlog=512); time.sleep(60)"
        task = tasks.open()
        tasks.start("python3", "-c", listening, task=task)
        with contextlib.ExitStack() as crowd:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    crowd.enter_context(_connect(task.address, 8123))
            assert task.run_check("main", ["true"], 10.0) == 0
            with contextlib.suppress(ConnectionResetError):  # it is shown out, maybe before it knows that it was in
                _connect(task.address, 8123).close()
    finally:
        tasks.close()
        runner.close()


def test_there_is_no_way_out_of_the_network(tasks: RunningTasks) -> None:
    _, output = tasks.run("python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 3)\"")
    assert "Network is unreachable" in output


_FOREIGN_SIDECAR = """
set -e
mkdir -p /run/sshd /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/their_key
printf '%s\\n' "$AUTHORIZED_KEY" > /root/.ssh/authorized_keys
exec $SSHD -D -e -f /dev/null -p 2222 -h /etc/ssh/their_key -o PermitRootLogin=yes -o StrictModes=no
"""


def test_debians_sshd_answers_at_the_tasks_address(tasks: RunningTasks) -> None:
    key = fresh_key_pair()
    environment = {"AUTHORIZED_KEY": key.public, "SSHD": program("sshd")}
    task = tasks.open()
    sidecar = tasks.shell(_FOREIGN_SIDECAR, task=task, name="their-sidecar", environment=environment)
    sidecar.wait_for("Server listening on 0.0.0.0 port 2222")
    _connect(task.address, 2222).close()
    serve = (
        "import socket\n"
        "s = socket.create_server(('127.0.0.1', 7004)); print('up', flush=True); s.accept()[0].send(b'x')\n"
    )
    tasks.start("python3", "-c", serve, task=task).wait_for("up")
    with SshTunnel(host=task.address, private_key=key.private, key_file=None) as tunnel:
        stream = tunnel.dial(7004)
        stream.settimeout(PATIENCE)
        assert stream.recv(10) == b"x"
        stream.close()
    assert not Path("/etc/ssh/their_key").exists()


def _ask(address: str, port: int) -> str:
    with _connect(address, port) as client:
        return client.recv(100).decode()


def _connect(address: str, port: int) -> socket.socket:
    def attempt() -> socket.socket | None:
        try:
            return socket.create_connection((address, port), timeout=PATIENCE)
        except ConnectionRefusedError:
            return None

    return wait_until(attempt, deadline=PATIENCE, what=f"a listener at {address}:{port}")

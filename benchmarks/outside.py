"""Services outside, as the sandbox reaches them: against OpenSSH's own ``ssh -R`` to the same sshd, and after a cut."""

from __future__ import annotations

import getpass
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._raw_ssh import OpenSsh
from benchmarks.figures import Figure, at_least, at_most, medians_in_turn, told
from benchmarks.sandbox import MIB, config, engine
from pytest_fargate_sandbox import EcsFargateSandbox, OutsideEndpoint, SshTunnel
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 256 * MIB
CUTS = 20
CIPHER = "aes128-gcm@openssh.com"
"""OpenSSH's fastest, and ours; by itself its client asks for another."""

# Programs of their own, so that both ends cost ours no more than they cost ssh. A client says which way, and how much.
SERVICE = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def serve(client):
    with client:
        way, left = client.recv(1), int.from_bytes(client.recv(8, socket.MSG_WAITALL), "big")
        block = bytearray(1 << 18)
        while left > 0:
            left -= client.send(block) if way == b"i" else client.recv_into(block)
        client.sendall(b"x")
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
CLIENT = """
import socket, sys
port, way, left = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
with socket.create_connection(("127.0.0.1", port)) as service:
    service.sendall(way + left.to_bytes(8, "big"))
    block = bytearray(1 << 18)
    while left > 0:
        left -= service.recv_into(block) if way == b"i" else service.send(block)
    service.recv(1)
"""
WAYS = {"i": "into the sandbox", "o": "out of it"}


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch, service() as target:
        with OpenSsh(Path(scratch)) as raw, ours(raw, target) as (inner_port, tunnel):
            for cipher in (None, CIPHER):
                with theirs(raw, target, cipher) as their_port:
                    yield from against_ssh(inner_port, their_port, cipher)
            yield from after_cuts(inner_port, tunnel)
        with engine(Path(scratch) / "engine"), OpenSsh(Path(scratch)) as raw, theirs(raw, target, None) as their_port:
            yield from through_our_sidecar(target, their_port)


def against_ssh(our_port: int, their_port: int, cipher: str | None) -> Iterator[Figure]:
    named = cipher or "its own choice of cipher"
    for way, words in WAYS.items():
        mine, raw = medians_in_turn(5, carried(our_port, way), carried(their_port, way))
        detail = f"{SIZE / MIB / mine:.0f} MiB/s against {SIZE / MIB / raw:.0f} MiB/s"
        yield at_least(f"{words}, against ssh -R with {named}", raw / mine, 0.6, " x", detail)


def through_our_sidecar(target: int, their_port: int) -> Iterator[Figure]:
    with EcsFargateSandbox(config(), task_id="outside", run_id="benchmark") as running:
        running.start(outside_endpoints=[OutsideEndpoint(f"http://127.0.0.1:{target}", "SERVICE")])

        def inside(way: str) -> Callable[[], object]:
            command = ["python3", "-I", "-S", "-c", CLIENT, str(running.model_tunnel_port), way, str(SIZE)]
            return lambda: running.exec(command, check=True)

        for way, words in WAYS.items():
            mine, raw = medians_in_turn(3, inside(way), carried(their_port, way))
            detail = f"{SIZE / MIB / mine:.0f} MiB/s against {SIZE / MIB / raw:.0f} MiB/s"
            yield told(f"{words} through the engine's own sidecar, against ssh -R", raw / mine, " x", detail)


def after_cuts(port: int, tunnel: SshTunnel) -> Iterator[Figure]:
    taken = []
    for _ in range(CUTS):
        carried(port, "i", 1)()
        connection = tunnel._connection
        assert connection is not None
        connection._transport.sock.shutdown(socket.SHUT_RDWR)
        began = time.perf_counter()
        wait_until(lambda: answers(port), deadline=10, what="an answer after a cut", longest_pause=0.02)
        taken.append(time.perf_counter() - began)
        time.sleep(0.3)  # so that each connection is old enough to be replaced at once
    yield at_most("an answer after a cut, the slowest", max(taken), 1, " s", f"median {statistics.median(taken):.2f} s")


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"i" + bytes(8))
            if client.recv(1) == b"x":
                return True
    except OSError as error:
        raise NotYet(str(error)) from error
    raise NotYet("closed without an answer")


def carried(port: int, way: str, size: int = SIZE) -> Callable[[], object]:
    command = [sys.executable, "-I", "-S", "-c", CLIENT, str(port), way, str(size)]
    return lambda: subprocess.run(command, check=True)


@contextmanager
def service() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


@contextmanager
def ours(raw: OpenSsh, target: int) -> Iterator[tuple[int, SshTunnel]]:
    with SshTunnel(host="127.0.0.1", port=raw.port, user=getpass.getuser(), key_file=str(raw.key)) as tunnel:
        yield tunnel.request_reverse(0, "127.0.0.1", target), tunnel


@contextmanager
def theirs(raw: OpenSsh, target: int, cipher: str | None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["ssh", "-F", "none", "-N", "-i", str(raw.key), "-p", str(raw.port), "-R", f"{port}:127.0.0.1:{target}"]
    for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"):
        command += ["-o", option]
    with subprocess.Popen([*command, *(["-c", cipher] if cipher else []), f"{getpass.getuser()}@127.0.0.1"]) as ssh:
        wait_until(lambda: answers(port), deadline=10, what="ssh -R")
        yield port
        ssh.terminate()

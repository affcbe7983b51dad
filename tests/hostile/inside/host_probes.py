"""The host beside the sandbox: its files, processes, sockets and services, and the neighbours on it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from probing import contents, probe, reached

if TYPE_CHECKING:
    from collections.abc import Callable


@probe
def roots_files(told: dict[str, Any]) -> list[str]:
    return reached({path: (lambda path=path: b"canary" in contents(path)) for path in told["roots_canaries"]})


@probe
def users_files(told: dict[str, Any]) -> list[str]:
    return reached({path: (lambda path=path: b"canary" in contents(path)) for path in told["users_canaries"]})


@probe
def own_files(told: dict[str, Any]) -> list[str]:
    return reached({path: (lambda path=path: b"canary" in contents(path)) for path in told["own_canaries"]})


@probe
def private_places(told: dict[str, Any]) -> list[str]:
    secrets = (
        "/root/.ssh /root/.aws /root/.bashrc /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key /etc/machine-id"
    )
    services = "/var/run/docker.sock /run/podman /run/systemd /var/lib/docker /var/lib/containers"
    places = [*secrets.split(), *services.split(), *told["private"]]
    found = reached(
        {
            path: (lambda path=path: not os.path.isdir(path) or os.listdir(path))
            for path in places
            if os.path.lexists(path)
        }
    )
    for place in ("/home", "/mnt", "/srv", "/media", "/tmp", "/var/log"):
        found += [
            f"{place}/{name}"
            for name in (os.listdir(place) if os.path.isdir(place) else ())
            if name not in told["of_image"]
        ]
    accounts = contents("/etc/shadow").decode() if os.path.exists("/etc/shadow") else ""
    return found + [line for line in accounts.splitlines() if line.split(":")[1] not in ("*", "!", "!!", "")]


@probe
def inodes(_: dict[str, Any]) -> list[str]:
    """What the walk could change besides its own; the host's inodes are asked outside."""
    walk = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile_walk.py")
    walked = json.loads(subprocess.run([sys.executable, walk], stdout=subprocess.PIPE, check=True).stdout)
    tried, done = walked["tried"], {operation for _, point, operation, _ in walked["succeeded"] if point == "/"}
    if not {"/", "/proc", "/dev/pts", "/dev/shm"} <= tried.keys() or not {"chmod", "truncate", "link"} <= done:
        return [f"a probe that got nowhere: {tried}, {done}"]
    return [" ".join(success) for success in walked["succeeded"] if not _is_its_own(*success)][:50]


def _is_its_own(kind: str, point: str, _: str, path: str) -> bool:
    """By what is mounted there: anything else would be seen from outside too."""
    if kind == "proc":  # a mount of its own, with links and processes of its own, and the shared rest
        return path == "/proc" or path.split("/")[2].isdecimal() or os.path.islink(path)
    of_podman = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv")
    return kind in ("overlay", "tmpfs", "devpts", "mqueue") or point in of_podman or point == "/run/fargate-sandbox"


@probe
def devices(_: dict[str, Any]) -> list[str]:
    ways: dict[str, Callable[[], Any]] = {
        path: (lambda path=path: os.open(path, os.O_RDONLY) > 0)
        for path in (
            "/dev/mem",
            "/dev/kmem",
            "/dev/port",
            "/dev/sda",
            "/dev/vda",
            "/dev/nvme0n1",
            "/dev/fuse",
            "/dev/kvm",
            "/dev/net/tun",
            "/dev/vsock",
        )
    }
    for kind, numbers in (
        (stat.S_IFCHR, (1, 1)),
        (stat.S_IFBLK, (254, 0)),
        (stat.S_IFBLK, (8, 0)),
        (stat.S_IFCHR, (1, 11)),
    ):
        path = f"/tmp/node-{kind}-{numbers[0]}-{numbers[1]}"
        ways[path] = lambda path=path, kind=kind, numbers=numbers: (
            os.mknod(path, kind | 0o600, os.makedev(*numbers)) or os.open(path, os.O_RDONLY) > 0
        )
    return reached(ways)


@probe
def processes(told: dict[str, Any]) -> list[str]:
    shown = [name for name in os.listdir("/proc") if name.isdecimal()]
    found = [f"{len(shown)} processes are shown"] if len(shown) > 30 else []
    ways = {
        f"a signal to {pid}": (lambda pid=pid: os.kill(pid, 0) is None and _is_foreign(pid, told))
        for pid in told["host_pids"]
    }
    return found + reached(ways)


def _is_foreign(pid: int, told: dict[str, Any]) -> bool:
    return any(word.encode() in contents(f"/proc/{pid}/cmdline") for word in told["of_engine"])


@probe
def sockets_without_a_path(told: dict[str, Any]) -> list[str]:
    return reached({"an abstract one": lambda: _connect_unix("\0" + told["abstract"])})


@probe
def doors_in_the_hosts_programs(told: dict[str, Any]) -> list[str]:
    """Sockets and named pipes at which somebody listens, and a lock that somebody holds."""
    ways = {path: (lambda path=path: _connect_unix(path)) for path in told["unix_sockets"]}
    ways |= {path: (lambda path=path: os.open(path, os.O_WRONLY | os.O_NONBLOCK) > 0) for path in told["pipes"]}
    ways |= {path: (lambda path=path: _is_locked(path)) for path in told["locks"]}
    return reached(ways)


def _is_locked(path: str) -> bool:
    """By others, to whom our locks would mean as much as theirs to us."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@probe
def host_programs(told: dict[str, Any]) -> list[str]:
    """What everybody may read, on file systems of their own too."""
    found = reached({path: (lambda path=path: b"everybody" in contents(path)) for path in told["public"]})
    return found if found == told["public"] else []


def _connect_unix(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return True


@probe
def host_services(told: dict[str, Any]) -> list[str]:
    """Ports of the host's loopback, and of the addresses at which it could be had from a container."""
    places = [
        (address, port)
        for address in (
            "127.0.0.1",
            "127.0.1.1",
            "::1",
            "10.88.0.1",
            "172.17.0.1",
            "host.docker.internal",
            "host.containers.internal",
        )
        for port in told["host_ports"]
    ]
    return reached({f"{address}:{port}": (lambda place=(address, port): _connect(*place)) for address, port in places})


def _connect(address: str, port: int) -> bool:
    socket.create_connection((address, port), 2).close()
    return True


@probe
def outside_network(_: dict[str, Any]) -> list[str]:
    def name() -> bool:
        return bool(socket.getaddrinfo("example.com", 80))

    ways: dict[str, Callable[[], Any]] = {
        a: (lambda a=a: _connect(a, 80)) for a in ("192.0.2.1", "198.51.100.1", "2001:db8::1")
    }
    interfaces = [entry for _, entry in socket.if_nameindex() if entry != "lo"]
    return reached({**ways, "a name": name}) + interfaces


@probe
def neighbour(told: dict[str, Any]) -> list[str]:
    """Its ports, its files by where the host has them, its shared memory."""
    other = told["neighbour"]
    ways: dict[str, Callable[[], Any]] = {
        f"port {port}": (lambda port=port: _connect(other["address"], port)) for port in other["ports"]
    }
    ways |= {path: (lambda path=path: b"canary" in contents(path)) for path in other["files"]}
    return reached(ways)


@probe
def control_plane(told: dict[str, Any]) -> list[str]:
    """At the engine's own port, where presigned objects are."""
    port = told["engine_port"]

    def ask(method: str, path: str, *headers: str) -> bool:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            head = "\r\n".join(
                [
                    f"{method} {path} HTTP/1.1",
                    "Host: 127.0.0.1",
                    "Content-Length: 2",
                    "Connection: close",
                    *headers,
                    "",
                    "",
                ]
            )
            connection.sendall(head.encode() + b"{}")
            return b" 403 " not in connection.recv(200)

    target = "X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListTasks"
    return reached({
        "ListTasks": lambda: ask("POST", "/", target),
        "its faults": lambda: ask("GET", "/_engine/faults"),
        "moto's pages": lambda: ask("POST", "/moto-api/reset"),
        "a bucket": lambda: ask("GET", "/fuzzed"),
        "roles": lambda: ask("GET", "/?Action=AssumeRole&RoleArn=x&RoleSessionName=y"),
    })  # fmt: skip


@probe
def old_roots(told: dict[str, Any]) -> list[str]:
    """The trick with chroot, and descriptors that somebody left open."""
    os.makedirs("/tmp/jail", exist_ok=True)
    here = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/jail")
    os.fchdir(here)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return reached({path: (lambda path=path: b"canary" in contents(path)) for path in told["roots_canaries"]})


signal.signal(signal.SIGPIPE, signal.SIG_DFL)

"""A way out of a task's network, for a task that is to reach the internet: slirp4netns, a process for each such task.

The other end of the task's interface is that process, which makes the connections of the task its own. So the task
reaches what this user of this machine reaches, less what ``prohibited_networks`` lists: the machine itself, networks
around it, and the addresses at which clouds hand out credentials. Those are routes in the task's network, which takes
CAP_NET_ADMIN to change, and CAP_NET_RAW to go round; its containers have neither.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

_PROGRAM = "slirp4netns"
_DEVICE = "tap0"
RESOLVER = "10.0.2.3"
"""slirp4netns's own, which asks whom this machine asks."""
_READY_SEC = 30.0
_CLOSE_SEC = 5.0

_NOT_PUBLIC = (
    # https://www.iana.org/assignments/iana-ipv4-special-registry: this network, private, shared, link-local, benchmarks
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15",
    # IETF's own, of which Oracle's older machines have 192.0.0.192 for their metadata; several at once; nobody's
    "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
    # Azure's, which hands out a machine's secrets:
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    "168.63.129.16/32",
)  # fmt: skip

_RTM_NEWROUTE, _NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 24, 0x1, 0x4, 0x400
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_PROHIBIT, _RTA_DST = 254, 4, 0, 8, 1


def no_way_out() -> str | None:
    """Why tasks cannot have one on this machine; None where they can."""
    if shutil.which(_PROGRAM) is None:
        return f"{_PROGRAM} is not installed on this machine (Debian: apt-get install {_PROGRAM})"
    return no_tun()


def no_tun() -> str | None:
    """Why this user cannot make a network's interface of his own; None where he can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        remedy = "chmod 666 /dev/net/tun" if error.errno == errno.EACCES else "modprobe tun"
        return f"/dev/net/tun cannot be opened on this machine: {os.strerror(error.errno or 0)} (as root: {remedy})"
    return None


def prohibited_networks() -> list[str]:
    """What no task may reach: what is not public, and each address that this machine has itself."""
    return [*_NOT_PUBLIC, *(f"{address}/32" for address in sorted(_own_addresses()))]


def _own_addresses() -> set[str]:
    addresses, last = set(), ""
    for line in Path("/proc/net/fib_trie").read_text().splitlines():
        words = line.split()
        if words[0] == "|--":
            last = words[1]
        elif words[0] == "/32" and words[-1] == "LOCAL":
            addresses.add(last)
    return addresses


def prohibit(networks: Iterable[str]) -> None:
    """Routes that refuse, in the network of the process that calls: whoever connects there hears EACCES."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        for network in networks:
            kernel.send(_prohibiting(network))
            error = struct.unpack_from("=i", kernel.recv(4096), 16)[0]
            if error:
                raise OSError(-error, f"{os.strerror(-error)}: the route that closes {network}")


def _prohibiting(network: str) -> bytes:
    """rtnetlink(7)."""
    address, _, bits = network.partition("/")
    route = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, int(bits), 0, 0,
        _RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_PROHIBIT, 0,
    )  # fmt: skip
    route += struct.pack("=HH", 8, _RTA_DST) + socket.inet_aton(address)
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE
    return struct.pack("=IHHII", 16 + len(route), _RTM_NEWROUTE, flags, 0, 0) + route


class WayOut:
    """Open from when it is made. It ends with the engine, however that ends: its pipe closes then."""

    def __init__(self, network: int, user: int, *, rootless: bool) -> None:
        """``network`` and ``user`` are descriptors of the task's namespaces, and are closed."""
        awaited, self._held = os.pipe()
        ready, told = os.pipe()
        complaint = tempfile.TemporaryFile()  # noqa: SIM115 - read when it has not come up, else closed below
        command = [
            *(_PROGRAM, "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-seccomp"),
            *(f"--exit-fd={awaited}", f"--ready-fd={told}", "--netns-type=path"),
            # Its own sandbox wants to be root of a user namespace with several groups.
            f"--userns-path=/proc/self/fd/{user}" if rootless else "--enable-sandbox",
            *(f"/proc/self/fd/{network}", _DEVICE),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[network, user, awaited, told],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaint,
                start_new_session=True,
            )
        finally:
            for descriptor in (network, user, awaited, told):
                os.close(descriptor)
        try:
            self._wait_ready(ready, complaint)
        finally:
            os.close(ready)
            complaint.close()

    def _wait_ready(self, ready: int, complaint: IO[bytes]) -> None:
        heard = select.poll()
        heard.register(ready, select.POLLIN)
        if heard.poll(_READY_SEC * 1000) and os.read(ready, 1):
            return
        self.close()
        complaint.seek(0)
        words = "; ".join(complaint.read().decode(errors="replace").splitlines()) or "it said nothing"
        raise CannotStart(f"ResourceInitializationError: the task's network has no way out: {_PROGRAM}: {words}")

    def close(self) -> None:
        os.close(self._held)
        try:
            self._process.wait(_CLOSE_SEC)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

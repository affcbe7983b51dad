"""Who listens in the network namespace that this process is in.

Asked of the kernel by netlink (``sock_diag``), which looks at listening sockets only. /proc/self/net/tcp says the same,
but walks the table of all connections that the machine could have: milliseconds, many times a second.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

_SOCK_DIAG, _DIAG_BY_FAMILY = 4, 20
_REQUEST_AND_DUMP = 0x1 | 0x300
_DONE, _ERROR = 3, 2
_ONLY_LISTENING = 1 << 10
_HEADER = struct.Struct("=IHHII")
_ENDPOINT_OFFSET = 4
"""In a reply: family, state, timer, retransmissions; then the ports (in network order) and the addresses."""
_LISTEN_IN_PROC = "0A"


def listening() -> set[tuple[str, int]]:
    """Addresses (a mapped IPv4 one as IPv4) and ports."""
    try:
        return _by_netlink()
    except OSError:  # a kernel without it
        return _by_proc()


def reachable_ports(listeners: set[tuple[str, int]]) -> dict[int, str]:
    """The ports that would answer at the task's address on Fargate, each with the loopback address to dial for it."""
    dial: dict[int, str] = {}
    for address, port in sorted(listeners, reverse=True):
        if address == "0.0.0.0":
            dial[port] = "127.0.0.1"
        elif address == "::":
            dial.setdefault(port, "::1")
        elif address not in ("127.0.0.1", "::1"):
            dial.setdefault(port, address)
    return dial


def _by_netlink() -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, _ONLY_LISTENING)
            diag.send(_HEADER.pack(_HEADER.size + len(body), _DIAG_BY_FAMILY, _REQUEST_AND_DUMP, 0, 0) + body)
            while _take_replies(diag.recv(1 << 16), found):
                pass
    return found


def _take_replies(packet: bytes, found: set[tuple[str, int]]) -> bool:
    """Whether more packets will follow."""
    while packet:
        length, kind, _, _, _ = _HEADER.unpack_from(packet)
        reply = packet[_HEADER.size : length]
        if kind == _DONE:
            return False
        if kind == _ERROR:
            raise OSError(-struct.unpack_from("=i", reply)[0], "sock_diag")
        family = reply[0]
        (port,) = struct.unpack_from("!H", reply, _ENDPOINT_OFFSET)
        size = 4 if family == socket.AF_INET else 16
        start = _ENDPOINT_OFFSET + 4
        found.add((_text_of(reply[start : start + size]), port))
        packet = packet[(length + 3) & ~3 :]
    return True


def _by_proc() -> set[tuple[str, int]]:
    return {_endpoint(local) for table in ("tcp", "tcp6") for local in _local_addresses(table)}


def _local_addresses(table: str) -> list[str]:
    try:
        with open(f"/proc/self/net/{table}", "rb") as file:  # noqa: PTH123 - many times a second
            rows = file.read().decode("ascii").splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return []
    columns = (row.split() for row in rows)
    return [row[1] for row in columns if row[3] == _LISTEN_IN_PROC]


def _endpoint(local: str) -> tuple[str, int]:
    digits, _, port = local.partition(":")
    # The kernel prints each 32-bit word in the machine's order, which is little-endian where this runs.
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    return _text_of(b"".join(words)), int(port, 16)


def _text_of(packed: bytes) -> str:
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)

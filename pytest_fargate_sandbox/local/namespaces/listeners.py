"""Who listens in the network namespace that this process is in, read from /proc/self/net."""

from __future__ import annotations

import ipaddress

_LISTEN = "0A"


def listening() -> set[tuple[str, int]]:
    """Addresses (a mapped IPv4 one as IPv4) and ports."""
    return {_endpoint(local) for table in ("tcp", "tcp6") for local in _local_addresses(table)}


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


def _local_addresses(table: str) -> list[str]:
    try:
        with open(f"/proc/self/net/{table}", "rb") as file:  # noqa: PTH123 - read many times a second
            rows = file.read().decode("ascii").splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return []
    columns = (row.split() for row in rows)
    return [row[1] for row in columns if row[3] == _LISTEN]


def _endpoint(local: str) -> tuple[str, int]:
    digits, _, port = local.partition(":")
    # The kernel prints each 32-bit word in the machine's order, which is little-endian where this runs.
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address), int(port, 16)

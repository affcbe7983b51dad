"""The tokens of the sandboxes that this process holds, by the local ports that lead to their servers."""

from __future__ import annotations

_by_port: dict[int, str] = {}


def remember(port: int, token: str) -> None:
    _by_port[port] = token


def forget(port: int) -> None:
    _by_port.pop(port, None)


def token_of(port: int) -> str | None:
    return _by_port.get(port)

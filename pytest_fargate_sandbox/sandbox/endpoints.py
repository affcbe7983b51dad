"""Services on our side that the sandbox reaches at a port of its own, through the tunnel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pytest_fargate_sandbox.leaves.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_FIRST_SPARE_PORT = 20000


@dataclass(frozen=True)
class Route:
    """A port on the sandbox's loopback that leads to ``host:port`` as our side sees it."""

    inner_port: int
    host: str
    port: int

    @property
    def spec(self) -> str:
        return f"{self.inner_port}:{self.host}:{self.port}"


class Routes:
    """The routes of a sandbox's outside endpoints. Endpoints at the same host and port share one.

    An endpoint keeps its own port where that is free in the sandbox, since some clients insist on it.
    """

    def __init__(self, endpoints: Iterable[OutsideEndpoint] = (), *, taken_ports: Iterable[int] = ()) -> None:
        self.endpoints = tuple(endpoints)
        self._taken = set(taken_ports)
        self._by_target: dict[tuple[str, int], Route] = {}
        for endpoint in self.endpoints:
            if not endpoint.env_var:
                raise ConfigError(f"the outside endpoint {endpoint.url!r} has no env_var", key="outside_endpoints")
            self._add(*_target(endpoint.url))

    def __iter__(self) -> Iterator[Route]:
        return iter(self._by_target.values())

    def __bool__(self) -> bool:
        return bool(self._by_target)

    @property
    def specs(self) -> Sequence[str]:
        return [route.spec for route in self._by_target.values()]

    @property
    def inner_ports(self) -> list[int]:
        return [route.inner_port for route in self._by_target.values()]

    @property
    def environment(self) -> dict[str, str]:
        """Each endpoint's variable, with the URL that works in the sandbox."""
        return {endpoint.env_var: self.resolve(endpoint.url) for endpoint in self.endpoints}

    def resolve(self, url: str) -> str:
        """The URL at which the sandbox reaches what ``url`` is for us; scheme, path and query stay."""
        route = self._by_target.get(_target(url))
        if route is None:
            known = ", ".join(endpoint.url for endpoint in self.endpoints) or "none"
            raise ConfigError(
                f"{url!r} is not among the outside endpoints that the sandbox was started with ({known}): "
                "pass it to start(outside_endpoints=[...])",
                key="outside_endpoints",
                value=url,
                allowed=known,
            )
        parts = urlsplit(url)
        login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{route.inner_port}"))

    def _add(self, host: str, port: int) -> None:
        if (host, port) not in self._by_target:
            self._by_target[(host, port)] = Route(self._free_port(port), host, port)

    def _free_port(self, wanted: int) -> int:
        port = wanted
        while port in self._taken:
            port = port + 1 if port >= _FIRST_SPARE_PORT else _FIRST_SPARE_PORT
        self._taken.add(port)
        return port


def _target(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    port = _port(parts, url)
    if not parts.hostname or port is None:
        raise ConfigError(
            f"{url!r} is not a URL with a host and a port that can be told", key="outside_endpoints", value=url
        )
    return parts.hostname, port


def _port(parts: SplitResult, url: str) -> int | None:
    try:
        return parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError as error:
        raise ConfigError(f"{url!r}: {error}", key="outside_endpoints", value=url) from error

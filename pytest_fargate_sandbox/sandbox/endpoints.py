"""Services on our side that the sandbox reaches at a port of its own, through the tunnel.

What speaks TLS keeps its name: the client inside asks for it (SNI), checks the certificate against it, and says it as
``Host``. So the name leads to a loopback address in the sandbox, by its ``/etc/hosts``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.plain_values import check_variable, wrong
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, LOOPBACKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_OVER_TLS = ("https", "wss")
_FIRST_SPARE_PORT = 20000
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True)
class Route:
    """A port on the sandbox's loopback that leads to ``host:port`` as our side sees it."""

    address: str
    inner_port: int
    host: str
    port: int

    @property
    def listener(self) -> str:
        return f"{self.inner_port}" if self.address == LOOPBACK else f"{self.address}:{self.inner_port}"

    @property
    def spec(self) -> str:
        return f"{self.listener}:{self.host}:{self.port}"


class Routes:
    """The routes of a sandbox's outside endpoints. Endpoints at the same host and port share one.

    An endpoint keeps its own port where that is free in the sandbox, since some clients insist on it; one that keeps
    its name may have another loopback address to that end.
    """

    def __init__(self, endpoints: Iterable[OutsideEndpoint] = (), *, taken_ports: Iterable[int] = ()) -> None:
        self.endpoints = tuple(endpoints)
        self._taken = {(address, port) for address in LOOPBACKS for port in taken_ports}
        self._by_target: dict[tuple[str, int], Route] = {}
        self.hosts: dict[str, str] = {}
        """Names that have to lead to an address in the sandbox, with that."""
        for endpoint in self.endpoints:
            check_variable("outside_endpoints: env_var", endpoint.env_var)
            self._add(endpoint.url)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._by_target.values())

    def __bool__(self) -> bool:
        return bool(self._by_target)

    @property
    def specs(self) -> Sequence[str]:
        return [route.spec for route in self]

    @property
    def listeners(self) -> list[str]:
        return [route.listener for route in self]

    @property
    def inner_ports(self) -> list[int]:
        return [route.inner_port for route in self]

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
        keeps_name = _name_to_keep(parts) is not None
        if keeps_name and route.inner_port == route.port:
            return url
        login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        host = parts.hostname if keeps_name else route.address
        return urlunsplit(parts._replace(netloc=f"{login}{host}:{route.inner_port}"))

    def _add(self, url: str) -> None:
        host, port = target = _target(url)
        name = _name_to_keep(urlsplit(url))
        if name and name not in self.hosts and name != "localhost":  # which leads to the right place by itself
            free = (address for address in LOOPBACKS if (address, port) not in self._taken)
            known = self._by_target.get(target)
            self.hosts[name] = known.address if known else next(free, LOOPBACK)
        if target not in self._by_target:
            address = self.hosts.get(name or "", LOOPBACK)
            self._by_target[target] = Route(address, self._free_port(address, port), host, port)

    def _free_port(self, address: str, wanted: int) -> int:
        port = wanted
        while (address, port) in self._taken:
            port = port + 1 if port >= _FIRST_SPARE_PORT else _FIRST_SPARE_PORT
        self._taken.add((address, port))
        return port


def endpoints_of(given: Any) -> tuple[OutsideEndpoint, ...]:
    """What ``start`` was given."""
    expected = "a list of OutsideEndpoint(url, env_var)"
    if given is None:
        return ()
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise wrong("outside_endpoints", given, expected)
    endpoints = tuple(given)
    for each in endpoints:
        if not all(isinstance(getattr(each, word, None), str) for word in ("url", "env_var")):
            raise wrong("outside_endpoints", each, expected)
    return endpoints


def _name_to_keep(parts: SplitResult) -> str | None:
    """As it is looked up: in ASCII. An address is none."""
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in _OVER_TLS or _is_address(host):
        return None
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{parts.geturl()!r}: {host!r} is not a name that a client in the sandbox could look up",
            key="outside_endpoints",
            value=parts.geturl(),
        )
    return name


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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

"""A connection to a host, by way of the proxy that the environment names for it, if any, as calls to AWS go."""

from __future__ import annotations

import base64
import re
import socket
import time
import urllib.parse

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.sockets import is_loopback

_LONGEST_ANSWER = 16 * 1024
_DEFAULT_PORT = 80
_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) ?([^\r\n]*)")


def connected(host: str, port: int, timeout: float, *, secure: bool) -> socket.socket:
    """Raises ``OSError``, and ``ConfigError`` where the proxy is of a kind that leads nowhere."""
    proxy = _proxy_for(host, port, "https" if secure else "http")
    if not proxy:
        return socket.create_connection((host, port), timeout)
    named = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        proxy_port = named.port or _DEFAULT_PORT
    except ValueError:  # which quotes a part of the password
        raise ConfigError(
            f"the proxy for {host} is no URL: what is special in its user's name and password must be escaped (%2F for "
            "a slash)",
            key="connect_via",
        ) from None
    if named.scheme != "http" or not named.hostname:
        raise ConfigError(
            f"the proxy for {host} is {named.scheme}://{named.hostname or ''}, and a session takes one of http:// "
            "alone: name such a one in HTTPS_PROXY, or the host in NO_PROXY",
            key="connect_via",
        )
    where = f"{named.hostname}:{proxy_port}"
    sock = socket.create_connection((named.hostname, proxy_port), timeout)
    try:
        sock.sendall(_request(f"{host}:{port}", named))
        status, reason = _answer(sock, time.monotonic() + timeout)
        sock.settimeout(timeout)
        if status != b"200":
            told = f"{status.decode()} {reason.decode('latin-1')}".strip() or "nothing that is HTTP"
            raise OSError(f"the proxy at {where} does not lead to {host}:{port}: it says {told[:200]}")
    except BaseException:
        sock.close()
        raise
    return sock


def _proxy_for(host: str, port: int, scheme: str) -> str | None:
    if is_loopback(host):
        return None
    from botocore.utils import get_environ_proxies

    proxies: dict[str, str] = get_environ_proxies(f"{scheme}://{host}:{port}")
    return proxies.get(scheme) or proxies.get("all")


def _request(target: str, proxy: urllib.parse.SplitResult) -> bytes:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.username is not None:
        who = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(who.encode()).decode()}\r\n"
    return f"{head}\r\n".encode("latin-1")


def _answer(sock: socket.socket, end: float) -> tuple[bytes, bytes]:
    """A byte at a time: what comes behind it is the host's."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _LONGEST_ANSWER:
        sock.settimeout(max(0.001, end - time.monotonic()))
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    found = _ANSWER.match(head)
    return (found.group(1), found.group(2)) if found else (b"", b"")

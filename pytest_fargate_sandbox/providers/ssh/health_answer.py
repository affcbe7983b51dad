"""Whether a URL at which a sandbox answers does so with a success. What answers there is not to be trusted.

It has so much time in all, however slowly it says its bytes, and sends us nowhere else: what is at this machine's
loopback is not a sandbox's to reach by our hand.
"""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from pytest_fargate_sandbox.leaves.printable import printable_line
from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.leaves.waiting import NotYet

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECTIONS: dict[str, Callable[..., HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_REDIRECTS = 5


def expect_success(url: str, timeout: float) -> None:
    """Raises ``NotYet`` with what came in its place."""
    end = time.monotonic() + timeout
    for _ in range(_MOST_REDIRECTS):
        try:
            status, location = _asked(urlsplit(url), end)
            elsewhere = urljoin(url, location)
            is_there = _origin(urlsplit(elsewhere)) == _origin(urlsplit(url))
        except (OSError, ValueError, HTTPException) as error:
            told = "timed out" if time.monotonic() >= end else str(error) or repr(error)
            raise NotYet(printable_line(told)) from error
        if 200 <= status < 300:
            return
        if not location or not 300 <= status < 400:
            raise NotYet(f"HTTP status {status}")
        if not is_there:
            raise NotYet(f"HTTP status {status}, and leads elsewhere, to {printable_line(location[:200])}")
        url = elsewhere
    raise NotYet("it leads from one place to the next")


def _asked(url: SplitResult, end: float) -> tuple[int, str]:
    """The status of a GET, and where it leads. No proxy is asked: it knows nothing of our loopback."""
    if url.scheme not in _CONNECTIONS or not url.hostname:
        raise ValueError(f"{url.geturl()!r} is no URL of http or https")
    connection = _CONNECTIONS[url.scheme](url.hostname, url.port, timeout=max(0.1, end - time.monotonic()))
    try:
        connection.connect()
        is_late = threading.Timer(max(0.0, end - time.monotonic()), wake, (connection.sock,))
        is_late.daemon = True
        is_late.start()
        try:
            path = url.path or "/"
            connection.request("GET", f"{path}?{url.query}" if url.query else path, headers={"Connection": "close"})
            answer = connection.getresponse()
        finally:
            is_late.cancel()
        if time.monotonic() >= end:  # what is cut off looks like the end of a head
            raise TimeoutError
        return answer.status, answer.getheader("Location") or ""
    finally:
        connection.close()


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)

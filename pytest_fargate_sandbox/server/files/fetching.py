"""What the sandbox gets for itself: one upload to S3 serves a hundred sandboxes.

The URL is presigned, so it is a secret for as long as it lives: no message repeats it.
"""

import hashlib

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import archives, single_files
from pytest_fargate_sandbox.server.files.file_protocol import Fetch
from pytest_fargate_sandbox.server.protocol import encoded
from pytest_fargate_sandbox.server.requests.http1 import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Any, Iterable
    from urllib.parse import SplitResult

    from pytest_fargate_sandbox.server.files.archives import How
    from pytest_fargate_sandbox.server.files.landings import Land

_SILENCE_SEC = 30.0


def fetch(request: Fetch, land: "Land", how: "How | None" = None) -> None:
    """``how`` is how it is unpacked, by who checks what comes by himself."""
    import urllib.request

    address = parsed("fetch", request.url)
    try:
        trust = trusting(request.roots) if request.roots else None
        with urllib.request.urlopen(request.url, timeout=_SILENCE_SEC, context=trust) as source:
            _put(request, _Checked(source, request), land, how)
    except (OSError, ValueError, ImportError, http_exceptions()) as error:
        raise Failure("unreachable", "%s could not be fetched: %s" % (address.hostname, error)) from None


def parsed(verb: str, url: str) -> "SplitResult":
    import urllib.parse

    try:
        address = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise Failure("bad_request", "%s: this is no URL: %s" % (verb, error)) from None
    if address.scheme not in ("http", "https"):
        raise Failure("bad_request", "%s: http and https only, not %.20r" % (verb, address.scheme))
    return address


def trusting(roots: str) -> "SSLContext":
    import ssl

    context = ssl.create_default_context()
    context.load_verify_locations(cadata=roots)
    return context


def http_exceptions() -> "type[Exception]":
    from http.client import HTTPException

    return HTTPException


def _put(request: Fetch, source: "_Checked", land: "Land", how: "How | None") -> None:
    try:
        if how:
            archives.unpack(source.read, encoded(request.path), lambda: None, land=land, how=how)
        elif request.unpack:
            archives.unpack(source.read, encoded(request.path), source.verify, land=land)
        else:
            single_files.put(request.path, source.blocks(), request.mode, request.mtime_ns, land)
    except _SourceFailed as failed:
        raise failed.reason from None
    except OSError as error:
        raise Failure.of_os_error(error, request.path) from None


class _SourceFailed(Exception):
    """The far end failed, which is not to be taken for a failure of the disk here."""

    def __init__(self, reason: Exception) -> None:
        Exception.__init__(self, str(reason))
        self.reason = reason


class _Checked:
    """A download that knows what it should have been."""

    def __init__(self, source: "Any", request: Fetch) -> None:
        self._source = source
        self._request = request
        self._digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        try:
            data = self._source.read(count)
        except Exception as error:
            raise _SourceFailed(error) from None
        self._digest.update(data)
        return bytes(data)

    def blocks(self) -> "Iterable[bytes]":
        yield from iter(lambda: self.read(BLOCK), b"")
        self.verify()

    def verify(self) -> None:
        if self._digest.hexdigest() != self._request.sha256.lower():
            raise Failure("unreachable", "what came for %s is not what was staged" % self._request.path)

"""Whole directories, as payloads."""

import hashlib
import os

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import archives
from pytest_fargate_sandbox.server.files.single_files import check_digest
from pytest_fargate_sandbox.server.protocol import DIGEST_TRAILER, decoded, encoded
from pytest_fargate_sandbox.server.requests.http1 import ChunkedBody, Payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from pytest_fargate_sandbox.server.files.archives import How
    from pytest_fargate_sandbox.server.files.landings import Land


def read(path: str) -> "Iterable[bytes]":
    """The tar of a directory; what cannot be listed at all is refused before its first block."""
    try:
        os.scandir(encoded(path)).close()
    except OSError as error:
        raise Failure.of_os_error(error, path) from None
    return _blocks(path)


def _blocks(path: str) -> "Iterable[bytes]":
    try:
        yield from archives.pack(encoded(path))
    except OSError as error:
        raise Failure.of_os_error(error, _path_of(error, path)) from None


def write(path: str, payload: Payload, land: "Land", how: "How | None" = None) -> None:
    """``how`` is how it is unpacked, by who checks what comes by himself."""
    if not isinstance(payload.body, ChunkedBody):
        raise Failure("bad_request", "write-tree: a tree travels chunked, with its SHA-256 as the trailer")
    digest = hashlib.sha256()

    def read_some(count: int) -> bytes:
        data = payload.read(count)
        digest.update(data)
        return data

    def verify() -> None:
        check_digest(digest, payload.body.trailers.get(DIGEST_TRAILER, ""), path)

    try:
        if how:
            archives.unpack(payload.read, encoded(path), lambda: None, land=land, how=how)
        else:
            archives.unpack(read_some, encoded(path), verify, land=land)
    except ConnectionError:
        raise
    except OSError as error:
        raise Failure.of_os_error(error, _path_of(error, path)) from None


def _path_of(error: OSError, path: str) -> str:
    return decoded(error.filename) if isinstance(error.filename, bytes) else path

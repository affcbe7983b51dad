"""Single files: read and written as streams, replaced in one step."""

import errno
import hashlib
import os
import stat

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import FileHead, FileList, WriteFile
from pytest_fargate_sandbox.server.files.landings import at_once
from pytest_fargate_sandbox.server.protocol import DIGEST_TRAILER, decoded, encoded
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, ChunkedBody, Payload
from pytest_fargate_sandbox.server.work_dir import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    from pytest_fargate_sandbox.server.files.landings import Land

_STAGING = b".fargate-sandbox-"
_IN_MEMORY = 4 * 1024 * 1024


def read(path: str) -> "Iterable[bytes]":
    """A line that describes the file, then its bytes. What cannot be read is refused before the first of them."""
    file, status = _open_regular(path)
    head = FileHead(mode=stat.S_IMODE(status.st_mode), mtime_ns=status.st_mtime_ns)
    return _blocks(file, head, status.st_size, path)


def _blocks(file: int, head: FileHead, size: int, path: str) -> "Iterable[bytes]":
    # A log that grows while we read would never end; what says that it has no size (/proc) is read to its end.
    left = size or (1 << 62)
    try:
        yield head.to_json()
        while left:
            data = os.read(file, min(left, BLOCK))
            if not data:
                return
            left -= len(data)
            yield data
    except OSError as error:
        raise Failure.of_os_error(error, path) from None
    finally:
        os.close(file)


def _open_regular(path: str) -> "tuple[int, os.stat_result]":
    try:
        # Not blocking, or a FIFO would keep us for ever.
        file = os.open(encoded(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Failure.of_os_error(error, path) from None
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode):
        return file, status
    os.close(file)
    if stat.S_ISDIR(status.st_mode):
        raise Failure("is_directory", "a directory, not a file: %s" % path, errno.EISDIR, path)
    raise Failure("bad_request", "not a regular file: %s" % path, errno.EINVAL, path)


def write(request: WriteFile, payload: Payload, land: "Land") -> None:
    """The payload becomes the file, checked against its digest first."""
    if not isinstance(payload.body, ChunkedBody):
        raise Failure("bad_request", "write-file: a file travels chunked, with its SHA-256 as the trailer")
    digest = hashlib.sha256()

    def blocks() -> "Iterable[bytes]":
        for data in iter(payload.read_block, b""):
            digest.update(data)
            yield data
        check_digest(digest, payload.body.trailers.get(DIGEST_TRAILER, ""), request.path)

    try:
        how = put_in_place if request.in_place else put
        how(request.path, blocks(), request.mode, request.mtime_ns, land)
    except ConnectionError:
        raise
    except OSError as error:
        raise Failure.of_os_error(error, request.path) from None


def check_digest(digest: "Any", promised: str, path: str) -> None:
    if digest.hexdigest() != promised:
        sentence = "what arrived for %s is not what was sent: SHA-256 %s, promised %s"
        raise Failure("checksum", sentence % (path, digest.hexdigest(), promised or "none"), path=path)


def put(
    path: str, blocks: "Iterable[bytes]", mode: "int | None", mtime_ns: "int | None", land: "Land" = at_once
) -> None:
    """Write beside the file, then rename: a reader sees the old one or the new one, never half of either."""
    target, before = _target_of(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    staged = os.path.join(os.path.dirname(target), _STAGING + os.urandom(6).hex().encode())
    file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    try:
        try:
            _fill(file, blocks)
            _dress(file, before, mode, mtime_ns)
        finally:
            os.close(file)
        land(lambda: _move(staged, target))
    finally:
        remove(staged)


def put_in_place(
    path: str, blocks: "Iterable[bytes]", mode: "int | None", mtime_ns: "int | None", land: "Land"
) -> None:
    """Through the file that is there, once all has come: it keeps what makes it that file, and its rights are asked."""
    target, before = _target_of(path)
    if before is None:
        put(path, blocks, mode, mtime_ns, land)
        return
    file = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with _kept_aside(blocks, os.path.dirname(target)) as content:

            def overwrite() -> None:
                os.ftruncate(file, 0)
                _fill(file, iter(lambda: content.read(BLOCK), b""))
                _dress(file, None, mode, mtime_ns)

            land(overwrite)
    finally:
        os.close(file)


def _kept_aside(blocks: "Iterable[bytes]", directory: bytes) -> "Any":
    """All of it, in memory or in a file without a name: beside its target, or where such files lie."""
    import io
    import tempfile

    content: "Any" = io.BytesIO()
    for data in blocks:
        if isinstance(content, io.BytesIO) and content.tell() + len(data) > _IN_MEMORY:
            start = content.getvalue()
            try:
                content = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - the caller closes it
            except OSError:
                content = tempfile.TemporaryFile()  # noqa: SIM115
            content.write(start)
        content.write(data)
    content.seek(0)
    return content


def _target_of(path: str) -> "tuple[bytes, os.stat_result | None]":
    target = os.path.realpath(encoded(path))
    before = _status_of(target)
    if path.endswith("/") or (before and stat.S_ISDIR(before.st_mode)):
        raise IsADirectoryError(errno.EISDIR, "a directory, not a file", path)
    if before and not stat.S_ISREG(before.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return target, before


def _fill(file: int, blocks: "Iterable[bytes]") -> None:
    for data in blocks:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]


def _dress(file: int, before: "os.stat_result | None", mode: "int | None", mtime_ns: "int | None") -> None:
    """Mode, owner and time: as asked for, else as they were."""
    if before:
        try:
            os.fchown(file, before.st_uid, before.st_gid)
        except PermissionError:
            pass
        mode = stat.S_IMODE(before.st_mode) if mode is None else mode
    if mode is not None:
        os.fchmod(file, mode)
    if mtime_ns is not None:
        os.utime(file, ns=(mtime_ns, mtime_ns))


def _move(staged: bytes, target: bytes) -> None:
    try:
        os.replace(staged, target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A mount point, as /etc/hosts is in most containers: it can only be written through.
        with open(staged, "rb") as source, open(target, "wb") as sink:
            _fill(sink.fileno(), iter(lambda: source.read(BLOCK), b""))


def _status_of(path: bytes) -> "os.stat_result | None":
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def list_directory(path: str) -> FileList:
    try:
        listing = FileList(names=[decoded(name) for name in sorted(os.listdir(encoded(path)))])
    except OSError as error:
        raise Failure.of_os_error(error, path) from None
    if len(listing.to_json()) > FileList.LONGEST:
        raise Failure("too_large", "%d names are too many to list: %s" % (len(listing.names), path), path=path)
    return listing

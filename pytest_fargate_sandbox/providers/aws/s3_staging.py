"""Big files go to S3 once for their content; each sandbox is given a short-lived URL and fetches them itself."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.file_lock import FileLock, patiently
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.trusted_roots import trusted_roots
from pytest_fargate_sandbox.server.files import archives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

WORTH_STAGING_BYTES = 512 * 1024
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
_LARGEST_PUT_BYTES = 5 * 1024**3
"""S3 takes no more in one piece; such a thing goes over the tunnel."""

URL_SECONDS = 900
_CHUNK = 1 << 20
DEFAULT_PREFIX = "fargate-sandbox"


@dataclass(frozen=True)
class Staged:
    """Content that lies in S3: where to fetch it, by what to believe who answers, how to know that it came through."""

    url: str
    sha256: str
    roots: str


class S3Staging:
    """One bucket and prefix. Threads and processes that stage the same content upload it once."""

    def __init__(self, aws: Aws, bucket: str, prefix: str | None) -> None:
        self._aws = aws
        self._bucket = bucket
        self._prefix = (prefix or DEFAULT_PREFIX).strip("/")

    def stage(self, content: IO[bytes], size: int) -> Staged:
        """Upload ``content`` unless the bucket has it. Raises ``AwsError``."""
        digest = _sha256(content)
        return self._staged(digest, digest, content, size)

    def stage_snapshot(self, sha256: str, content: IO[bytes], size: int, check: Callable[[], None]) -> Staged:
        """The same for what knows its own digest: ``check`` reads all of it, only before it is uploaded."""
        return self._staged(f"snapshot-{sha256}", "", content, size, check)

    def _staged(
        self, name: str, digest: str, content: IO[bytes], size: int, check: Callable[[], None] = lambda: None
    ) -> Staged:
        key = f"{self._prefix}/{name}"
        self._put_once(key, content, size, check)
        url = self._aws.presigned("get_object", expires=URL_SECONDS, Bucket=self._bucket, Key=key)
        return Staged(url, digest, trusted_roots(self._aws, url))

    def _put_once(self, key: str, content: IO[bytes], size: int, check: Callable[[], None]) -> None:
        place = (self._aws.identity_hash, self._bucket, key)
        if place in _known:
            return
        lock = FileLock(self._aws.notes("uploads") / f"{key.rpartition('/')[2]}.lock")
        with patiently(lock, f"the upload of s3://{self._bucket}/{key}"):
            if not is_in_bucket(self._aws, self._bucket, key):
                check()
                content.seek(0)
                self._aws.call("s3", "PutObject", Bucket=self._bucket, Key=key, Body=content, ContentLength=size)
        with _known_lock:
            _known.add(place)


_known: set[tuple[str, str, str]] = set()
_known_lock = threading.Lock()


def is_in_bucket(aws: Aws, bucket: str, key: str) -> bool:
    """Whether there is such an object, as far as we may know: to send it twice does no harm. Raises ``AwsError``."""
    try:
        aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except AwsError as error:
        if error.code in ("404", "NoSuchKey", "NotFound", "403"):  # 403: we may not list, so S3 doesn't say which
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            return False
        raise
    return True


def is_worth_staging(path: Path) -> bool:
    """Whether a file or a tree is big enough for the detour."""
    return WORTH_STAGING_BYTES < _size(path) < _LARGEST_PUT_BYTES


@contextmanager
def archive_of(directory: Path) -> Iterator[tuple[IO[bytes], int]]:
    """A tar of a directory's content in a temporary file, the same for the same tree, and its size."""
    with tempfile.TemporaryFile() as file:
        file.writelines(archives.pack(os.fsencode(directory)))
        size = file.tell()
        file.seek(0)
        yield file, size


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.lstat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())
    return path.stat().st_size


def _sha256(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

"""What crossed over, kept by its content, so that a verifier that was changed can grade it again."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.tasks.task_inputs import content_digest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_BUCKET = re.compile(r"s3://([^/]+)/?(.*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class CrossingStore(Protocol):
    """Files by the digest of their content. ``aws`` is where the sandboxes are."""

    def put(self, aws: Aws, file: Path, sha256: str) -> None: ...

    def get(self, aws: Aws, sha256: str, to: Path) -> None:
        """Raises ``SandboxError`` where it is not there, or is another."""


def store_at(where: str, base: Path) -> CrossingStore:
    """``s3://BUCKET/PREFIX``, or a directory, from ``base`` on."""
    bucket = _BUCKET.fullmatch(where)
    return BucketStore(bucket[1], bucket[2].strip("/")) if bucket else DirectoryStore(base / where)


class DirectoryStore:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, aws: Aws, file: Path, sha256: str) -> None:  # noqa: ARG002
        kept = self._place(sha256)
        if kept.exists():
            return
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f"{kept.name}.{file.parent.name}")  # whoever else does the same has another room
        shutil.copyfile(file, draft)
        draft.replace(kept)

    def get(self, aws: Aws, sha256: str, to: Path) -> None:  # noqa: ARG002
        kept = self._place(sha256)
        if not kept.is_file():
            raise SandboxError(f"what crossed over is not in {self._directory}: {sha256} is missing")
        shutil.copyfile(kept, to)
        _check(to, sha256, str(kept))

    def _place(self, sha256: str) -> Path:
        return self._directory / sha256[:2] / _checked(sha256)


class BucketStore:
    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, aws: Aws, file: Path, sha256: str) -> None:
        from pytest_fargate_sandbox.providers.aws.s3_staging import is_in_bucket

        key = self._prefix + _checked(sha256)
        if not is_in_bucket(aws, self._bucket, key):
            with file.open("rb") as content:
                aws.call("s3", "PutObject", Bucket=self._bucket, Key=key, Body=content)

    def get(self, aws: Aws, sha256: str, to: Path) -> None:
        key = self._prefix + _checked(sha256)
        try:
            body: Any = aws.call("s3", "GetObject", Bucket=self._bucket, Key=key)["Body"]
        except AwsError as error:
            raise SandboxError(f"what crossed over is not in s3://{self._bucket}/{key}: {error}") from error
        with to.open("wb") as file:
            shutil.copyfileobj(body, file)
        _check(to, sha256, f"s3://{self._bucket}/{key}")


def _check(file: Path, sha256: str, where: str) -> None:
    if content_digest(file) != sha256:
        raise SandboxError(f"{where} is not what crossed over: somebody has changed it")


def _checked(sha256: str) -> str:
    """It comes out of a file of results, and becomes a path."""
    if not _SHA256.fullmatch(sha256):
        raise SandboxError(f"{sha256[:80]!r} is no digest")
    return sha256

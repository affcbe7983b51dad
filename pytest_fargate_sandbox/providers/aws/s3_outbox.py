"""A place in a bucket where a sandbox puts what is on its way out of it, once, under a name that nobody guesses."""

from __future__ import annotations

import contextlib
import secrets
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.s3_staging import DEFAULT_PREFIX, URL_SECONDS
from pytest_fargate_sandbox.providers.aws.trusted_roots import trusted_roots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.providers.aws.aws import Aws


class S3Outbox:
    def __init__(self, aws: Aws, bucket: str, prefix: str | None) -> None:
        self._aws = aws
        self._bucket = bucket
        self._prefix = (prefix or DEFAULT_PREFIX).strip("/")

    def new(self) -> tuple[str, str, str]:
        name = f"{self._prefix}/out/{secrets.token_hex(16)}"
        url = self._aws.presigned("put_object", expires=URL_SECONDS, Bucket=self._bucket, Key=name)
        return name, url, trusted_roots(self._aws, url)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Raises ``AwsError``."""
        body = self._aws.call("s3", "GetObject", Bucket=self._bucket, Key=name)["Body"]
        with contextlib.closing(body):
            yield body

    def remove(self, name: str) -> None:
        """What may not be removed stays until the bucket's own rules end it."""
        with contextlib.suppress(AwsError):
            self._aws.call("s3", "DeleteObject", Bucket=self._bucket, Key=name)

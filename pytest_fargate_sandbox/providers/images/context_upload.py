"""A context's way to S3, once for its content."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, cast

from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError, Call, mapped
from pytest_fargate_sandbox.providers.aws.aws_patience import FILES
from pytest_fargate_sandbox.providers.aws.s3_staging import is_in_bucket
from pytest_fargate_sandbox.providers.images.build_context import ArchiveReader, context_entries

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_ATTEMPTS = 3


def upload_context(aws: Aws, bucket: str, key: str, context: Path) -> str:
    """``bucket/key`` of the archive; an object of that name is of that content, so it is not sent again."""
    if not is_in_bucket(aws, bucket, key):
        entries = context_entries(context)
        for attempt in range(_ATTEMPTS):
            try:
                with ArchiveReader(entries) as archive:
                    _send(aws, bucket, key, cast(IO[bytes], archive))
                break
            except AwsError as error:
                if not error.transient or attempt + 1 == _ATTEMPTS:
                    raise
    return f"{bucket}/{key}"


def ensure_bucket(aws: Aws, bucket: str) -> None:
    """Make the bucket if it is missing; for the engine, where nobody else makes one."""
    try:
        aws.call("s3", "CreateBucket", Bucket=bucket)
    except AwsError as error:
        if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def _send(aws: Aws, bucket: str, key: str, archive: IO[bytes]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.manager import TransferManager

    try:
        with TransferManager(aws.client("s3", FILES)) as transfers:
            transfers.upload(archive, bucket, key).result()
    except (BotoCoreError, ClientError) as error:
        call = Call("s3", "PutObject", aws.region, aws.endpoint_url, {"Bucket": bucket})
        raise mapped(error, call) from error

"""The ``environmentFiles`` of a container: variables from S3, a line for each.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/use-environment-file.html: a line that begins with # is a
comment, spaces and quotation marks belong to the value, and of two files the first that has a variable counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.moto_services import backend

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARTITION = "aws"
"""What moto keeps buckets by, which no region has."""


class EnvironmentFileMissing(Exception):
    """The text is what Fargate writes as the reason of the stopped task."""


def read_environment_files(definition: Mapping[str, Any]) -> dict[str, str]:
    """The environment that the files of ``definition`` make."""
    variables: dict[str, str] = {}
    for file in definition.get("environmentFiles") or ():
        for line in _fetch(str(file["value"])).decode("utf-8", "replace").splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                variables.setdefault(name, value)
    return variables


def _fetch(arn: str) -> bytes:
    from moto.core.exceptions import ServiceException
    from werkzeug.exceptions import HTTPException

    bucket, _, key = arn.partition(":::")[2].partition("/")
    try:
        found = backend("s3", _PARTITION).get_object(bucket, key)
    except (ServiceException, HTTPException):
        found = None
    if found is None:
        raise EnvironmentFileMissing(
            "ResourceInitializationError: failed to download env files: file download command: non empty error stream: "
            f"service call has been retried 1 time(s): {arn}: NoSuchKey: The specified key does not exist."
        )
    return bytes(found.value)

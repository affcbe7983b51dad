"""What ECS refuses in a container's environment: its variables, its files of them, its secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import ENVIRONMENT_FILES, SECRET_ARN
from pytest_fargate_sandbox.local.ecs.refusals import ClientException, invalid_setting

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = re.compile(r"arn:aws[a-z-]*:s3:::[^/]+/.+\.env")
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html: an ARN, or a parameter's name.
_SECRETS = (
    re.compile(SECRET_ARN),
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-ssm-paramstore.html
    re.compile(r"arn:aws[a-z-]*:ssm:[a-z0-9-]+:\d{12}:parameter/[\w./-]+(:\d+)?"),
    re.compile(r"[\w./-]+"),
)


def check_environment_files(container: Mapping[str, Any]) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EnvironmentFile.html"""
    files = container.get("environmentFiles") or ()
    if len(files) > ENVIRONMENT_FILES:
        raise invalid_setting(
            container, f"'environmentFiles' has at most {ENVIRONMENT_FILES} files. Found: {len(files)}."
        )
    for file in files:
        if file.get("type") != "s3":
            raise ClientException(f"type should be one of [s3], not {file.get('type')!r}.")
        if not _FILE.fullmatch(file.get("value") or ""):
            raise invalid_setting(
                container,
                "'environmentFiles.value' must be the ARN of an object in S3 whose name ends in .env. Found: "
                f"{file.get('value')}.",
            )


def check_variables(container: Mapping[str, Any]) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KeyValuePair.html"""
    if any(not (item.get("name") or "").strip() for item in container.get("environment") or ()):
        raise ClientException("Environment variable name cannot be null or blank.")


def check_secrets(container: Mapping[str, Any]) -> None:
    seen = {item.get("name") for item in container.get("environment") or ()}
    for secret in container.get("secrets") or ():
        name, source = secret.get("name"), secret.get("valueFrom") or ""
        if not (name or "").strip():
            raise ClientException("Secret name cannot be null or blank.")
        if name in seen:
            raise ClientException(
                "The secret name must be unique and not shared with any new or existing environment variables set on "
                f"the container, such as '{name}'."
            )
        if not any(form.fullmatch(source) for form in _SECRETS):
            raise ClientException(f"Invalid arn syntax. The secret '{name}' comes from {source!r}.")
        seen.add(name)

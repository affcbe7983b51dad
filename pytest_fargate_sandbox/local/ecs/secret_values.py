"""Resolves the ``secrets`` of a container definition, from Secrets Manager and from SSM parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.engine_credentials import REGION
from pytest_fargate_sandbox.local.moto_services import backend

if TYPE_CHECKING:
    from collections.abc import Mapping


class SecretNotResolved(Exception):
    """The text is what Fargate writes as the reason of the stopped task."""


def resolve_secrets(definition: Mapping[str, Any]) -> dict[str, str]:
    """The environment that the secrets of ``definition`` make."""
    return {secret["name"]: _resolve(str(secret["valueFrom"])) for secret in definition.get("secrets") or ()}


def _resolve(source: str) -> str:
    from moto.core.exceptions import ServiceException
    from werkzeug.exceptions import HTTPException

    try:
        if ":secretsmanager:" in source:
            return _from_secrets_manager(source)
        return _from_parameter(source)
    except (ServiceException, HTTPException, LookupError, ValueError) as error:
        text = getattr(error, "message", None) or getattr(error, "description", None) or str(error)
        raise SecretNotResolved(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
            f"failed: unable to retrieve secret from {'asm' if ':secretsmanager:' in source else 'ssm'}: "
            f"service call has been retried 1 time(s): failed to fetch {source}: {text}"
        ) from error


def _from_secrets_manager(source: str) -> str:
    """``arn:…:secret:NAME-xxxxxx[:json-key[:version-stage[:version-id]]]``."""
    parts = source.split(":")
    arn, (key, stage, version) = ":".join(parts[:7]), (*parts[7:], "", "", "")[:3]
    region = parts[3]
    manager = backend("secretsmanager", region)
    text = manager.get_secret_value(arn, version or None, stage or None).get("SecretString")
    if text is None:
        raise ValueError("the secret is binary")
    if not key:
        return str(text)
    value = json.loads(text)[key]
    return value if isinstance(value, str) else json.dumps(value)


def _from_parameter(source: str) -> str:
    """A parameter's name, or its ARN, in which a name without a leading slash has one as well."""
    if source.startswith("arn:"):
        region, name = source.split(":")[3], source.partition(":parameter")[2]
        names = (name, name.removeprefix("/"))
    else:
        region, names = REGION, (source, source)
    ssm = backend("ssm", region)
    found = next(filter(None, map(ssm.get_parameter, names)), None)
    if found is None:
        raise LookupError(f"invalid ssm parameters: {source}")
    return str(found.decrypt(found.value))

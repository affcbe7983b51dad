"""Clients of an engine that are not its own: other keys, plain HTTP, and the errors they read."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.engine_process import EngineProcess
    from tests.local.raw_requests import Keys


def client_with(engine: EngineProcess, service: str, keys: Keys, **config: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=engine.exports["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=keys.id,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token or None,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


def error_of(call: Callable[..., Any], **parameters: Any) -> str:
    """The error that a call ends with."""
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    code: str = refusal.value.response["Error"]["Code"]
    return code


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()

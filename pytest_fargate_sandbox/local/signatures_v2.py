"""Checks a URL presigned the older way (AWS Signature Version 2), which is what boto3 makes by default in us-east-1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pytest_fargate_sandbox.local.signatures import SignatureRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.credentials import Credentials

_OWN = {"AWSAccessKeyId", "Signature", "Expires"}
_SIGNED_QUERY = {"versionId", "uploadId", "partNumber"}


def verify_presigned_v2(
    environ: dict[str, Any], credentials: Credentials, *, now: Callable[[], float] = time.time
) -> dict[str, str]:
    """Check the presigned request in ``environ`` and return its query; raise ``SignatureRefused`` otherwise."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if not hmac.compare_digest(query.get("AWSAccessKeyId", "").encode(), credentials.access_key_id.encode()):
        raise SignatureRefused("the access key is not this engine's")
    _check_every_parameter_is_signed(query)
    if not query.get("Expires", "").isdigit() or now() > int(query["Expires"]):
        raise SignatureRefused("the URL has expired")
    text = "\n".join(
        [
            environ["REQUEST_METHOD"],
            environ.get("HTTP_CONTENT_MD5", ""),
            environ.get("CONTENT_TYPE", ""),
            query["Expires"],
            *_amazon_headers(environ),
            _resource(environ, query),
        ]
    )
    signature = hmac.new(credentials.secret_access_key.encode(), text.encode(), hashlib.sha1).digest()
    if not hmac.compare_digest(base64.b64encode(signature), query.get("Signature", "").encode()):
        raise SignatureRefused("the signature does not match")
    return query


def _check_every_parameter_is_signed(query: dict[str, str]) -> None:
    loose = [name for name in query if name not in _OWN | _SIGNED_QUERY and not name.startswith("response-")]
    if loose:
        raise SignatureRefused(f"only the object itself passes, not its {', '.join(sorted(loose))}")


def _amazon_headers(environ: dict[str, Any]) -> list[str]:
    prefix = "HTTP_X_AMZ_"
    return sorted(
        f"{name[5:].lower().replace('_', '-')}:{value}" for name, value in environ.items() if name.startswith(prefix)
    )


def _resource(environ: dict[str, Any], query: dict[str, str]) -> str:
    path = environ["RAW_URI"].partition("?")[0]
    signed = sorted(f"{name}={value}" for name, value in query.items() if name not in _OWN)
    return f"{path}?{'&'.join(signed)}" if signed else str(path)

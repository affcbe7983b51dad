"""Checks the signature of a presigned S3 URL (AWS Signature Version 4, in the query)."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"
_LONGEST_LIFE_SEC = 7 * 24 * 3600
_CLOCK_SKEW_SEC = 15 * 60


class SignatureRefused(Exception):
    """The request carries no valid signature of ours; the text says which part is wrong."""


def verify_presigned(
    environ: dict[str, Any], credentials: Credentials, *, now: Callable[[], float] = time.time
) -> dict[str, str]:
    """Check the presigned request in ``environ`` and return its query; raise ``SignatureRefused`` otherwise."""
    pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    query = dict(pairs)
    if query.get("X-Amz-Algorithm") != _ALGORITHM:
        raise SignatureRefused("not a presigned request")
    scope = _check_scope(query, credentials)
    _check_time(query, now())
    signed_headers = query.get("X-Amz-SignedHeaders", "").split(";")
    _check_headers(environ, signed_headers)
    canonical = "\n".join(
        [
            environ["REQUEST_METHOD"],
            environ["RAW_URI"].partition("?")[0],
            _canonical_query(pairs),
            *(f"{name}:{_header(environ, name)}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            "UNSIGNED-PAYLOAD",
        ]
    )
    text = "\n".join([_ALGORITHM, query["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    expected = hmac.new(_signing_key(credentials, scope), text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), query.get("X-Amz-Signature", "").encode()):
        raise SignatureRefused("the signature does not match")
    return query


def _check_scope(query: dict[str, str], credentials: Credentials) -> str:
    key_id, _, scope = query.get("X-Amz-Credential", "").partition("/")
    if not hmac.compare_digest(key_id.encode(), credentials.access_key_id.encode()):
        raise SignatureRefused("the access key is not this engine's")
    parts = scope.split("/")
    if len(parts) != 4 or parts[2:] != ["s3", "aws4_request"]:
        raise SignatureRefused("the credential's scope is not S3")
    if parts[0] != query.get("X-Amz-Date", "")[:8]:
        raise SignatureRefused("the credential's scope is of another day")
    return scope


def _check_time(query: dict[str, str], now: float) -> None:
    try:
        signed_at = calendar.timegm(time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
        life = int(query["X-Amz-Expires"])
    except (KeyError, ValueError):
        raise SignatureRefused("X-Amz-Date or X-Amz-Expires is missing or malformed") from None
    if not 0 < life <= _LONGEST_LIFE_SEC or signed_at > now + _CLOCK_SKEW_SEC:
        raise SignatureRefused("X-Amz-Expires or X-Amz-Date is out of range")
    if now > signed_at + life:
        raise SignatureRefused("the URL has expired")


def _check_headers(environ: dict[str, Any], signed_headers: list[str]) -> None:
    if "host" not in signed_headers:
        raise SignatureRefused("the host is not signed")
    unsigned = {name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_")}
    unsigned -= set(signed_headers)
    if unsigned:
        # Such a header changes what S3 does (copy from elsewhere, set an ACL); who signed never meant it.
        raise SignatureRefused(f"unsigned headers: {', '.join(sorted(unsigned))}")


def _header(environ: dict[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key, "")
    return " ".join(value.split())


def _canonical_query(pairs: list[tuple[str, str]]) -> str:
    encoded = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


def _signing_key(credentials: Credentials, scope: str) -> bytes:
    key = b"AWS4" + credentials.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key

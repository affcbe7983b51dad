"""Checks a URL presigned the older way (AWS Signature Version 2), which boto3 still makes by default in us-east-1.

After https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html. The default is made in
https://github.com/boto/botocore/blob/1.44.8/botocore/client.py#L476.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pytest_fargate_sandbox.local.signatures_v4 import SignatureRefused, Wrong, check_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.issued_keys import IssuedKeys, Key

_OWN = {"AWSAccessKeyId", "Signature", "Expires", "x-amz-security-token"}
_SIGNED = {"acl", "cors", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment",
           "tagging", "uploadId", "uploads", "versionId", "versioning", "versions", "website"}  # fmt: skip
_HARMLESS = {"delimiter", "encoding-type", "key-marker", "list-type", "marker", "max-keys", "prefix", "x-id"}
"""They narrow a listing, and were never signed. A name in none of these sets could turn a URL into another."""


def is_presigned_v2(environ: dict[str, Any]) -> bool:
    return "AWSAccessKeyId=" in environ.get("QUERY_STRING", "") and not environ.get("HTTP_AUTHORIZATION")


def verify_presigned_v2(environ: dict[str, Any], keys: IssuedKeys, *, now: Callable[[], float] = time.time) -> set[str]:
    """Check the presigned request in ``environ`` and return the names in its query, or raise ``SignatureRefused``."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, encoding="latin-1"))
    key = keys.find(query.get("AWSAccessKeyId", ""))
    if key is None:
        raise SignatureRefused(Wrong.KEY, "the access key is not this engine's")
    check_token(query.get("x-amz-security-token", ""), key, now())
    _check_every_parameter_is_signed(query)
    _check_host(environ)
    if not query.get("Expires", "").isdigit() or now() > int(query["Expires"]):
        raise SignatureRefused(Wrong.URL_EXPIRED, "the URL has expired")
    text = "\n".join(
        [
            environ["REQUEST_METHOD"],
            environ.get("HTTP_CONTENT_MD5", ""),
            environ.get("CONTENT_TYPE", ""),
            query["Expires"],
            *_amazon_headers(environ, key),
            _resource(environ, query),
        ]
    )
    signature = hmac.new(key.secret.encode(), text.encode("latin-1"), hashlib.sha1).digest()
    if not hmac.compare_digest(base64.b64encode(signature), query.get("Signature", "").encode("latin-1")):
        raise SignatureRefused(Wrong.SIGNATURE, "the signature does not match")
    return set(query) - _OWN


def _check_host(environ: dict[str, Any]) -> None:
    """This signature does not cover the host, which can name a bucket: the signed path would then be one in that."""
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    if host not in ("127.0.0.1", "localhost"):
        raise SignatureRefused(Wrong.SIGNATURE, f"this signature does not cover the host {host}")


def _check_every_parameter_is_signed(query: dict[str, str]) -> None:
    loose = [name for name in query if name not in _OWN | _SIGNED | _HARMLESS and not name.startswith("response-")]
    if loose:
        raise SignatureRefused(Wrong.SIGNATURE, f"this signature does not cover {', '.join(sorted(loose))}")


def _amazon_headers(environ: dict[str, Any], key: Key) -> list[str]:
    prefix = "HTTP_X_AMZ_"
    lines = [
        f"{name[5:].lower().replace('_', '-')}:{value}" for name, value in environ.items() if name.startswith(prefix)
    ]
    if key.token:
        lines.append(f"x-amz-security-token:{key.token}")
    return sorted(lines)


def _resource(environ: dict[str, Any], query: dict[str, str]) -> str:
    path = environ["RAW_URI"].partition("?")[0]
    covered = ((name, value) for name, value in query.items() if name in _SIGNED or name.startswith("response-"))
    signed = sorted(f"{name}={value}" if value else name for name, value in covered)
    return f"{path}?{'&'.join(signed)}" if signed else str(path)

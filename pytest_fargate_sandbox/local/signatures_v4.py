"""Checks AWS Signature Version 4, in the ``Authorization`` header and in the query of a presigned URL.

After https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. A request says who
signed it and what of it (its ``Claim``); the rest is computed anew with the secret that only the two ends know.
"""

from __future__ import annotations

import calendar
import enum
import functools
import hashlib
import hmac
import io
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fargate_sandbox.local.issued_keys import IssuedKeys, Key

S3_SERVICES = ("s3", "s3express", "s3-object-lambda", "s3-outposts")
"""They sign the path as it is sent; all others encode it once more."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_PARTS_OF_HEADER = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]*)")
_LONGEST_LIFE_SEC = 7 * 24 * 3600
_CLOCK_SKEW_SEC = 15 * 60
_LONGEST_BODY = 100 << 20
"""Of a request whose headers don't say what its body hashes to: it must be read before anybody is believed."""
_UNSIGNED = "UNSIGNED-PAYLOAD"


class Wrong(enum.Enum):
    """What AWS tells apart when it refuses a signature."""

    MISSING = enum.auto()
    MALFORMED = enum.auto()
    MECHANISM = enum.auto()
    KEY = enum.auto()
    TOKEN_EXPIRED = enum.auto()
    SIGNATURE = enum.auto()
    TIME = enum.auto()
    URL_EXPIRED = enum.auto()
    BODY = enum.auto()


class SignatureRefused(Exception):
    """The request carries no valid signature by a key of ours; the text says which part is wrong."""

    def __init__(self, wrong: Wrong, text: str) -> None:
        super().__init__(text)
        self.wrong = wrong


@dataclass(frozen=True)
class Claim:
    """What a request says of its signature, nothing of it proven."""

    key_id: str
    scope: str
    signed_headers: tuple[str, ...]
    signature: str
    date: str
    token: str
    life: str | None
    """For how many seconds a presigned request holds; None where the signature stands in a header."""
    query: Sequence[tuple[str, str]]

    @property
    def service(self) -> str:
        return self.scope.split("/")[2]

    @property
    def is_presigned(self) -> bool:
        return self.life is not None


def read_claim(environ: dict[str, Any]) -> Claim:
    """Raises ``SignatureRefused`` where the request makes no claim, or none that can be checked."""
    # Each character of a string here is one byte of the request, as WSGI has it.
    query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, encoding="latin-1")
    header = environ.get("HTTP_AUTHORIZATION", "")
    if header:
        return _claim_of_header(header, environ, query)
    named = dict(query)
    if "X-Amz-Algorithm" not in named:
        raise SignatureRefused(Wrong.MISSING, "the request is not signed")
    missing = [name for name in _IN_QUERY if name not in named]
    if missing or named["X-Amz-Algorithm"] != _ALGORITHM:
        raise SignatureRefused(Wrong.MALFORMED, f"the query lacks {', '.join(missing) or _ALGORITHM}")
    return Claim(
        *_credential(named["X-Amz-Credential"], named["X-Amz-Date"]),
        signed_headers=_names(named["X-Amz-SignedHeaders"]),
        signature=named["X-Amz-Signature"],
        date=named["X-Amz-Date"],
        token=named.get("X-Amz-Security-Token", ""),
        life=named["X-Amz-Expires"],
        query=[(name, value) for name, value in query if name != "X-Amz-Signature"],
    )


_IN_QUERY = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")


def _claim_of_header(header: str, environ: dict[str, Any], query: Sequence[tuple[str, str]]) -> Claim:
    algorithm, _, rest = header.partition(" ")
    if algorithm != _ALGORITHM:
        raise SignatureRefused(Wrong.MECHANISM, f"the authorization mechanism is not supported, only {_ALGORITHM} is")
    found = _PARTS_OF_HEADER.findall(rest)
    parts = dict(found)
    if sorted(name for name, value in found if value) != ["Credential", "Signature", "SignedHeaders"]:
        raise SignatureRefused(
            Wrong.MALFORMED, "Authorization header requires one each of Credential, SignedHeaders and Signature"
        )
    if any(name in ("X-Amz-Algorithm", "AWSAccessKeyId") for name, _ in query):
        raise SignatureRefused(Wrong.MALFORMED, "only one authorization mechanism is allowed, and there are two")
    date = environ.get("HTTP_X_AMZ_DATE", "")
    if not date:
        raise SignatureRefused(Wrong.MALFORMED, "Authorization header requires existence of an 'X-Amz-Date' header")
    return Claim(
        *_credential(parts["Credential"], date),
        signed_headers=_names(parts["SignedHeaders"]),
        signature=parts["Signature"],
        date=date,
        token=environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""),
        life=None,
        query=query,
    )


def _credential(text: str, date: str) -> tuple[str, str]:
    key_id, _, scope = text.partition("/")
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request" or not all(parts):
        raise SignatureRefused(Wrong.MALFORMED, "Credential must be KEY/DATE/REGION/SERVICE/aws4_request")
    if parts[0] != date[:8]:
        raise SignatureRefused(Wrong.SIGNATURE, "the credential's scope is of another day")
    return key_id, scope


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(";"))


def verify(environ: dict[str, Any], claim: Claim, keys: IssuedKeys, *, now: Callable[[], float] = time.time) -> None:
    """Raise ``SignatureRefused`` unless the holder of one of ``keys`` signed this very request, and lately.

    Afterwards ``wsgi.input`` is the body that was signed.
    """
    key = keys.find(claim.key_id)
    if key is None:
        raise SignatureRefused(Wrong.KEY, "the access key is not this engine's")
    check_token(claim.token, key, now())
    _check_time(claim, now())
    _check_headers(environ, claim)
    body = _Body(environ)
    hashed = _payload(claim, environ, body)
    expected = _sign(key.secret, claim, _canonical(environ, claim, hashed))
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1")):
        raise SignatureRefused(Wrong.SIGNATURE, "the signature does not match")
    if _is_hash(hashed) and body.hash() != hashed:
        raise SignatureRefused(Wrong.BODY, "the body is not the one that was signed")


def check_token(token: str, key: Key, now: float) -> None:
    """Raise ``SignatureRefused`` unless ``token`` goes with ``key`` (none does but a session's) and is not too old."""
    if not hmac.compare_digest(token.encode("latin-1"), key.token.encode()):
        raise SignatureRefused(Wrong.KEY, "the security token is not the one of this access key")
    if key.expires_at is not None and now > key.expires_at:
        raise SignatureRefused(Wrong.TOKEN_EXPIRED, "the security token has expired")


def _check_time(claim: Claim, now: float) -> None:
    try:
        signed_at = calendar.timegm(time.strptime(claim.date, "%Y%m%dT%H%M%SZ"))
        life = _CLOCK_SKEW_SEC if claim.life is None else int(claim.life)
    except ValueError:
        raise SignatureRefused(Wrong.MALFORMED, "X-Amz-Date or X-Amz-Expires is malformed") from None
    if not 0 < life <= _LONGEST_LIFE_SEC:
        raise SignatureRefused(Wrong.MALFORMED, "X-Amz-Expires is out of range")
    if signed_at > now + _CLOCK_SKEW_SEC:
        raise SignatureRefused(Wrong.TIME, f"Signature not yet current: {claim.date} is in the future")
    if now > signed_at + life:
        if claim.is_presigned:
            raise SignatureRefused(Wrong.URL_EXPIRED, f"the URL has expired: signed at {claim.date} for {life} s")
        raise SignatureRefused(Wrong.TIME, f"Signature expired: {claim.date} is more than {life} s ago")


def _check_headers(environ: dict[str, Any], claim: Claim) -> None:
    if "host" not in claim.signed_headers:
        raise SignatureRefused(Wrong.SIGNATURE, "the host is not signed")
    unsigned = {name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_")}
    unsigned -= {name.replace("_", "-") for name in claim.signed_headers}
    if unsigned:
        # Such a header changes what is done (copy from elsewhere, another target); whoever signed never meant it.
        raise SignatureRefused(Wrong.SIGNATURE, f"unsigned headers: {', '.join(sorted(unsigned))}")


class _Body:
    """The request's body, read when somebody asks for its hash, and put back for the service."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self._hash = ""

    def hash(self) -> str:
        if not self._hash:
            body = self._environ.get("wsgi.input") or io.BytesIO()
            content = body.getvalue() if isinstance(body, io.BytesIO) else body.read(_LONGEST_BODY + 1)
            if len(content) > _LONGEST_BODY:
                raise SignatureRefused(Wrong.BODY, f"a signed body may have {_LONGEST_BODY} bytes here")
            self._hash = hashlib.sha256(content).hexdigest()
            if not isinstance(body, io.BytesIO):
                self._environ["wsgi.input"] = io.BytesIO(content)
        return self._hash


def _payload(claim: Claim, environ: dict[str, Any], body: _Body) -> str:
    """What stands for the body in the canonical request: its hash, or a word that says why there is none."""
    if claim.is_presigned:
        declared = dict(claim.query).get("X-Amz-Content-Sha256", "")
        return declared or (_UNSIGNED if claim.service in S3_SERVICES else body.hash())
    return environ.get("HTTP_X_AMZ_CONTENT_SHA256") or body.hash()


def _is_hash(payload: str) -> bool:
    """Not ``UNSIGNED-PAYLOAD``, nor one of the words for a body in signed chunks."""
    return not payload.startswith((_UNSIGNED, "STREAMING-"))


def _canonical(environ: dict[str, Any], claim: Claim, hashed: str) -> str:
    path = environ["RAW_URI"].partition("?")[0] or "/"
    return "\n".join(
        [
            environ["REQUEST_METHOD"],
            path if claim.service in S3_SERVICES else quote(_normalized(path), safe="/-_.~", encoding="latin-1"),
            _canonical_query(claim.query),
            *(f"{name}:{_header(environ, name)}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            hashed,
        ]
    )


def _normalized(path: str) -> str:
    """Without ``.``, ``..`` and empty segments."""
    if "/." not in path and "//" not in path:
        return path
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _header(environ: dict[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key, "")
    return " ".join(value.split())


def _canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~", encoding="latin-1")


def _sign(secret: str, claim: Claim, canonical: str) -> str:
    hashed = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = "\n".join([_ALGORITHM, claim.date, claim.scope, hashed])
    return hmac.new(_signing_key(secret, claim.scope), text.encode("latin-1"), hashlib.sha256).hexdigest()


@functools.lru_cache(maxsize=64)
def _signing_key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode("latin-1"), hashlib.sha256).digest()
    return key

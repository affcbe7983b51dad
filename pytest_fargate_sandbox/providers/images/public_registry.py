"""What a public registry says of a reference: the digest that its tag stands for today.

Which registry that is, a task's folder says, which somebody else may have written: it is believed nothing but a digest,
leads nowhere but to https, and has so many bytes and so much time.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

_ACCEPTED = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIMEOUT_SEC = 10.0
_PATIENCE_SEC = 30.0
"""For all of it, however slowly a registry says its bytes."""
_LONGEST_CHALLENGE = 4096
_LONGEST_TOKEN = 1 << 20


@dataclass(frozen=True)
class Reference:
    """``registry/name:tag`` or ``registry/name@digest``, spelled out as docker reads the short form."""

    registry: str
    name: str
    tag: str = "latest"
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        rest, _, digest = text.partition("@")
        first, slash, path = rest.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            first, path = "docker.io", rest
        if first == "docker.io" and "/" not in path:
            path = f"library/{path}"
        name, colon, tag = path.rpartition(":")
        return cls(first, name, tag, digest) if colon else cls(first, path, digest=digest)

    @property
    def pinned(self) -> str:
        """By its digest where that is known, so that what is fetched is what was looked at."""
        return f"{self.registry}/{self.name}" + (f"@{self.digest}" if self.digest else f":{self.tag}")


def digest_of(reference: Reference) -> str:
    """The digest of the tag now, asked without any account; empty where the registry does not tell."""
    if reference.digest:
        return reference.digest
    told: list[str] = []
    asking = threading.Thread(target=lambda: told.append(_asked(reference)), name="registry", daemon=True)
    asking.start()
    asking.join(_PATIENCE_SEC)
    return told[0] if told and _DIGEST.fullmatch(told[0]) else ""


def _asked(reference: Reference) -> str:
    host = "registry-1.docker.io" if reference.registry == "docker.io" else reference.registry
    scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{host}/v2/{reference.name}/manifests/{urllib.parse.quote(reference.tag)}"
    try:
        try:
            return _head(url, {})
        except urllib.error.HTTPError as refusal:
            if refusal.code != 401:
                return ""
            challenge = refusal.headers.get("WWW-Authenticate", "")
        return _head(url, {"Authorization": f"Bearer {_anonymous_token(challenge, scheme)}"})
    except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _head(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": _ACCEPTED, **headers})
    with _opened(request) as answer:
        return str(answer.headers.get("Docker-Content-Digest") or "")


def _anonymous_token(challenge: str, scheme: str) -> str:
    words = dict(_CHALLENGE.findall(challenge[:_LONGEST_CHALLENGE]))
    realm = urllib.parse.urlsplit(words["realm"])
    if realm.scheme not in ("https", scheme):
        raise ValueError(f"a registry's tokens are not to be had by {realm.scheme}")
    query = urllib.parse.urlencode({key: words[key] for key in ("service", "scope") if key in words})
    with _opened(urllib.request.Request(f"{words['realm']}?{query}")) as answer:
        return str(json.loads(answer.read(_LONGEST_TOKEN))["token"])


def _opened(request: urllib.request.Request) -> Any:
    return urllib.request.build_opener(_Redirects()).open(request, timeout=_TIMEOUT_SEC)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To https, or to where the registry is itself: what else listens here or near here is none of its business."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if after.scheme == "https" or (after.scheme, after.netloc) == (before.scheme, before.netloc):
            return super().redirect_request(req, fp, code, msg, headers, newurl)
        raise urllib.error.HTTPError(newurl, code, "a registry leads to nothing but https", headers, fp)

"""Requests byte by byte, and AWS's Signature Version 4 as its documentation has it: nothing here is botocore's."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import re
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

ECS_TARGET = "AmazonEC2ContainerServiceV20141113."
UNSIGNED = "UNSIGNED-PAYLOAD"
_JSON = "application/x-amz-json-1.1"
_FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Keys:
    id: str
    secret: str
    token: str = ""

    @classmethod
    def printed(cls, exports: Mapping[str, str]) -> Keys:
        return cls(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])

    @classmethod
    def told(cls, answer: Mapping[str, Any]) -> Keys:
        """Those that IAM or STS hands out."""
        return cls(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("SessionToken", ""))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Answer:
        head, _, body = raw.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return cls(int(line.split()[1]) if head else 0, headers, body)

    @property
    def code(self) -> str:
        """AWS's name of the error, however the service writes it; empty where there is none."""
        found = re.search(rb"<Code>(.*?)</Code>", self.body)
        if found:
            return found[1].decode()
        try:
            kind = json.loads(self.body).get("__type", "")
        except (ValueError, AttributeError):
            kind = ""
        return str(kind or self.headers.get("x-amzn-errortype", "")).rpartition("#")[2].partition(":")[0]


@dataclass(frozen=True)
class Request:
    """What goes over the wire: ``path``, ``query`` and ``headers`` are sent exactly as they stand here."""

    method: str = "POST"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = "127.0.0.1"

    def with_headers(self, **headers: str) -> Request:
        """Underscores stand for dashes."""
        more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return replace(self, headers=self.headers + more)

    def without_header(self, name: str) -> Request:
        return replace(self, headers=tuple(item for item in self.headers if item[0].lower() != name.lower()))

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    def send(self, port: int) -> Answer:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(self.encode())
            return Answer.parse(b"".join(iter(lambda: connection.recv(65536), b"")))

    @classmethod
    def of_url(cls, method: str, url: str, **fields: Any) -> Request:
        parts = urlsplit(url)
        return cls(method, parts.path, parts.query, host=parts.netloc, **fields)


def ecs_call(operation: str, **parameters: Any) -> Request:
    headers = (("X-Amz-Target", ECS_TARGET + operation), ("Content-Type", _JSON))
    return Request(headers=headers, body=json.dumps(parameters).encode())


def form_call(action: str, version: str, **parameters: str) -> Request:
    pairs = {"Action": action, "Version": version, **parameters}
    body = "&".join(f"{name}={_encode(value)}" for name, value in pairs.items())
    return Request(headers=(("Content-Type", _FORM),), body=body.encode())


@dataclass(frozen=True)
class Signer:
    """Signs for one service as the owner of ``keys``; what a forger would do otherwise, tests say by the fields."""

    keys: Keys
    service: str
    region: str = "us-east-1"
    age_sec: float = 0.0
    scope_day: str = ""
    payload: str = ""
    left_out: frozenset[str] = field(default_factory=frozenset)

    def sign(self, request: Request) -> Request:
        """In the Authorization header."""
        date = self._date
        added = {"X_Amz_Date": date}
        if self.keys.token:
            added["X_Amz_Security_Token"] = self.keys.token
        if self.service == "s3":
            added["X_Amz_Content_Sha256"] = self._payload_hash(request)
        request = request.with_headers(**added)
        names = sorted({"host", *(name.lower() for name, _ in request.headers)} - self.left_out)
        signature = self._signature(request, names, self._payload_hash(request), date)
        credential = f"Credential={self.keys.id}/{self.scope}"
        value = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        return request.with_headers(Authorization=value)

    def presign(self, request: Request, life_sec: int = 300) -> Request:
        """In the query."""
        names = sorted({"host", *(name.lower() for name, _ in request.headers)} - self.left_out)
        added = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.keys.id}/{self.scope}",
            "X-Amz-Date": (date := self._date),
            "X-Amz-Expires": str(life_sec),
            "X-Amz-SignedHeaders": ";".join(names),
        }
        if self.keys.token:
            added["X-Amz-Security-Token"] = self.keys.token
        pairs = [request.query] if request.query else []
        pairs += [f"{name}={_encode(value)}" for name, value in added.items()]
        request = replace(request, query="&".join(pairs))
        payload = UNSIGNED if self.service == "s3" else self._payload_hash(request)
        signature = self._signature(request, names, payload, date)
        return replace(request, query=f"{request.query}&X-Amz-Signature={signature}")

    def sign_chunk(self, request: Request, previous: str, content: bytes) -> str:
        """The signature of a part of the body of ``request``, which is signed already."""
        hashes = [hashlib.sha256(part).hexdigest() for part in (b"", content)]
        date = dict(request.headers)["X-Amz-Date"]
        return self._hmac(["AWS4-HMAC-SHA256-PAYLOAD", date, self.scope, previous, *hashes])

    def _hmac(self, lines: list[str]) -> str:
        key = b"AWS4" + self.keys.secret.encode()
        for part in self.scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()

    @property
    def _date(self) -> str:
        moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=self.age_sec)
        return moment.strftime("%Y%m%dT%H%M%SZ")

    @property
    def scope(self) -> str:
        return f"{self.scope_day or self._date[:8]}/{self.region}/{self.service}/aws4_request"

    def _payload_hash(self, request: Request) -> str:
        return self.payload or hashlib.sha256(request.body).hexdigest()

    def _signature(self, request: Request, names: list[str], payload: str, date: str) -> str:
        canonical = "\n".join(
            [
                request.method,
                _canonical_path(request.path, twice=self.service != "s3"),
                _canonical_query(request.query),
                *(f"{name}:{_canonical_value(request, name)}" for name in names),
                "",
                ";".join(names),
                payload,
            ]
        )
        digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
        return self._hmac(["AWS4-HMAC-SHA256", date, self.scope, digest])


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _canonical_path(path: str, *, twice: bool) -> str:
    """S3 encodes the name of the object once; for all others, what is sent is encoded once more."""
    if twice:
        return quote(path, safe="/-_.~")
    return quote(unquote(path, "latin-1").encode("latin-1"), safe="/-_.~")


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, value in sorted((_again(n), _again(v)) for n, _, v in pairs))


def _again(text: str) -> str:
    return quote(unquote(text, "latin-1").encode("latin-1"), safe="-_.~")


def _canonical_value(request: Request, name: str) -> str:
    if name == "host":
        return request.host
    return ",".join(" ".join(value.split()) for key, value in request.headers if key.lower() == name)

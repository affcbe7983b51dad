"""What a task sees of the engine at 127.0.0.1:<engine port>: S3 objects behind presigned URLs, and nothing else.

Sandboxed code must not reach the control plane, or it could start tasks and read secrets; yet a URL that the client
presigned must work from inside a task exactly as it does on AWS. The gate is a listener of its own; the runner relays
connections from inside the tasks to it and to nothing else.
"""

from __future__ import annotations

import re
import time
import traceback
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.engine_credentials import REGION
from pytest_fargate_sandbox.local.error_answers import Family, answer_error
from pytest_fargate_sandbox.local.moto_failures import OWN_ERROR, Told, told_by_aws
from pytest_fargate_sandbox.local.signatures_v2 import is_presigned_v2, verify_presigned_v2
from pytest_fargate_sandbox.local.signatures_v4 import SignatureRefused, Wrong, read_claim, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.local.call_journal import CallJournal
    from pytest_fargate_sandbox.local.issued_keys import IssuedKeys
    from pytest_fargate_sandbox.local.moto_services import MotoServices

_OBJECT_PATH = re.compile(r"/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+", re.DOTALL)
_METHODS = ("GET", "HEAD", "PUT")
_QUERY = re.compile(r"X-Amz-[A-Za-z-]+|response-[a-z-]+|x-id|versionId|uploadId|partNumber|x-amz-checksum-[a-z0-9]+")


class Gate:
    """The WSGI application behind the gate."""

    def __init__(self, keys: IssuedKeys, services: MotoServices, journal: CallJournal) -> None:
        self._keys = keys
        self._services = services
        self._journal = journal

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.monotonic()
        operation = environ["REQUEST_METHOD"].title() + "Object"
        try:
            self._check(environ)
        except SignatureRefused as refusal:
            self._journal.call("s3", operation, 403, time.monotonic() - began, gate="refused", reason=str(refusal))
            return _forbidden(str(refusal), start_response)

        def answered(status: str, headers: Any, exc_info: Any = None) -> Any:
            self._journal.call("s3", operation, int(status[:3]), time.monotonic() - began, gate="passed")
            return start_response(status, headers, exc_info)

        try:
            return self._services("s3", environ, answered)
        except Exception as error:
            told = told_by_aws(error, "s3", REGION, environ)
            if told is None:
                self._journal.error(f"gate.{operation}", traceback.format_exc())
                told = Told(500, "InternalError", OWN_ERROR % operation)
            return answer_error(answered, Family.S3, *told)

    def _check(self, environ: dict[str, Any]) -> None:
        if environ["REQUEST_METHOD"] not in _METHODS or not _OBJECT_PATH.fullmatch(environ["PATH_INFO"]):
            raise SignatureRefused(Wrong.SIGNATURE, "only GET, HEAD and PUT of one S3 object pass")
        if is_presigned_v2(environ):
            query = verify_presigned_v2(environ, self._keys)
        else:
            claim = read_claim(environ)
            if not claim.is_presigned or claim.service != "s3":
                raise SignatureRefused(Wrong.MISSING, "not a presigned request of S3")
            verify(environ, claim, self._keys)
            query = {name for name, _ in claim.query}
        other = [name for name in query if not _QUERY.fullmatch(name)]
        if other:
            raise SignatureRefused(
                Wrong.SIGNATURE, f"only the object itself passes, not its {', '.join(sorted(other))}"
            )


def _forbidden(reason: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>'
        f"From inside a task only presigned S3 URLs of this engine work: {reason}</Message></Error>"
    ).encode()
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
    return [text]

"""The engine's main application: every call of a client comes in here, is named, logged and sent on."""

from __future__ import annotations

import hmac
import io
import json
import re
import time
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from pytest_fargate_sandbox.leaves.names import ENGINE_PULSE_PATH
from pytest_fargate_sandbox.local.ecs.account_limits import RATE_EXCEEDED
from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID, REGION
from pytest_fargate_sandbox.local.error_answers import FORM, answer_error, answer_json, answer_refusal, family_of
from pytest_fargate_sandbox.local.http_server import PEER_IS_KNOWN
from pytest_fargate_sandbox.local.moto_failures import OWN_ERROR, Told, told_by_aws
from pytest_fargate_sandbox.local.request_shapes import Unfit, check_form, check_json
from pytest_fargate_sandbox.local.signatures_v2 import is_presigned_v2, verify_presigned_v2
from pytest_fargate_sandbox.local.signatures_v4 import SignatureRefused, read_claim, verify
from pytest_fargate_sandbox.local.ssm.session_gateway import open_channel
from pytest_fargate_sandbox.local.ssm.session_manager import CHANNEL_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.local.ecs.task_life import EngineParts
    from pytest_fargate_sandbox.local.engine_credentials import EngineCredentials
    from pytest_fargate_sandbox.local.issued_keys import IssuedKeys
    from pytest_fargate_sandbox.local.moto_services import MotoServices

FAULTS_PATH, LIMITS_PATH = "/_engine/faults", "/_engine/limits"

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_OBJECT_OPERATIONS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_BUCKET_OPERATIONS = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_FOR_STRANGERS = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")
"""What AWS leaves unsigned: whom an identity provider vouches for gets keys. None is known here, so nobody does."""

_NOT_AUTHORIZED = (
    f"User: arn:aws:iam::{ACCOUNT_ID}:user/local is not authorized to perform: ecs:RunTask because no identity-based "
    "policy allows the ecs:RunTask action"
)
_OTHERS_AT_IT = "Too many concurrent attempts to create a new revision of the specified family."
_NO_MORE_CPUS = "You've reached the limit on the number of vCPUs you can run concurrently"
_NO_SUCH_TASK = "The referenced task was not found."


def _denied(action: str) -> str:
    return (
        f"User: arn:aws:iam::{ACCOUNT_ID}:user/local is not authorized to perform: {action} on resource: "
        f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:task because no identity-based policy allows the {action} action"
    )


_EXCEPTIONS = {
    "expired-token": ("", "ExpiredTokenException", "The security token included in the request is expired"),
    "ssm-denied": ("StartSession", "AccessDeniedException", _denied("ssm:StartSession")),
    "ssm-end-denied": ("TerminateSession", "AccessDeniedException", _denied("ssm:TerminateSession")),
    "exec-denied": ("ExecuteCommand", "AccessDeniedException", _denied("ecs:ExecuteCommand")),
    "access-denied": ("RunTask", "AccessDeniedException", _NOT_AUTHORIZED),
    "throttle": ("RunTask", "ThrottlingException", RATE_EXCEEDED),
    "quota": ("RunTask", "ThrottlingException", _NO_MORE_CPUS),
    "concurrent-registration": ("RegisterTaskDefinition", "ClientException", _OTHERS_AT_IT),
    "stop-not-found": ("StopTask", "InvalidParameterException", _NO_SUCH_TASK),
    "server-error": ("RunTask", "ServerException", "Service Unavailable. Please try again later."),
}
"""The faults that come as an exception of one call, or of any: the call, its code and its message."""


class Api:
    """The WSGI application that AWS clients talk to."""

    def __init__(
        self,
        services: MotoServices,
        parts: EngineParts,
        credentials: EngineCredentials,
        keys: IssuedKeys | None,
        look: Callable[[], object],
    ) -> None:
        """``keys`` open it; None where it stands open. ``look`` returns as long as the engine can do its work."""
        self._services = services
        self._faults, self._journal, self._limits = parts.faults, parts.journal, parts.limits
        self._sessions = parts.sessions
        self._credentials = credentials
        self._keys = keys
        self._look = look

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == ENGINE_PULSE_PATH:
            self._look()
            return answer_json(start_response, "200 OK", {})
        if environ["PATH_INFO"].startswith(CHANNEL_PATH):
            return open_channel(self._sessions, environ, start_response)
        if environ["PATH_INFO"] in (FAULTS_PATH, LIMITS_PATH):
            return self._answer_owner(environ, start_response)
        if environ["PATH_INFO"].startswith("/moto-api"):
            # moto's own pages empty its services under the tasks that run.
            return answer_json(start_response, "404 Not Found", {"message": "this is a Fargate, not a moto server"})
        began = time.monotonic()
        service, _ = _scope(environ)
        operation = _operation(service, environ)
        status = 500

        def answered(line: str, headers: Any, exc_info: Any = None) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, headers, exc_info)

        try:
            if operation in _FOR_STRANGERS:
                there = "No OpenIDConnect or SAML provider found in your account"
                return answer_error(answered, family_of(service, environ), 400, "InvalidIdentityToken", there)
            self._admit(environ)
            return self._answer(service, operation, environ, answered)
        except SignatureRefused as refusal:
            return answer_refusal(answered, family_of(service, environ), refusal)
        finally:
            self._journal.call(service, operation, status, time.monotonic() - began)

    def _admit(self, environ: dict[str, Any]) -> None:
        """Loopback is open to every user of the machine: whoever asks proves that the engine's owner gave him keys."""
        if self._keys is not None:
            if is_presigned_v2(environ):
                verify_presigned_v2(environ, self._keys)
            else:
                verify(environ, read_claim(environ), self._keys)
        environ[PEER_IS_KNOWN]()

    def _answer(
        self, service: str, operation: str, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        for fault, (struck, code, message) in _EXCEPTIONS.items():
            if (not struck or operation == struck) and self._faults.take(fault):
                status = 500 if code == "ServerException" else 400
                return answer_error(start_response, family_of(service, environ), status, code, message)
        if service == "ecs" and not self._limits.admit(operation):
            return answer_error(start_response, family_of(service, environ), 400, "ThrottlingException", RATE_EXCEEDED)
        try:
            _check_shape(service, operation, environ)
            return self._services(service, environ, start_response)
        except Unfit as error:
            return answer_error(start_response, family_of(service, environ), 400, error.code, str(error))
        except Exception as error:
            _, region = _scope(environ)
            told = told_by_aws(error, service, region, environ)
            if told is None:
                self._journal.error(f"{service}.{operation}", traceback.format_exc())
                told = Told(500, "ServerException", OWN_ERROR % operation)
            return answer_error(start_response, family_of(service, environ), *told)

    def _answer_owner(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """For the holder of the engine's secret key: GET tells the faults in force, POST a JSON object sets some;
        what was used of the account's limits can be read.
        """
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if not hmac.compare_digest(token.encode(), self._credentials.secret_access_key.encode()):
            return answer_json(
                start_response, "403 Forbidden", {"message": "send Authorization: Bearer <secret access key>"}
            )
        if environ["PATH_INFO"] == LIMITS_PATH:
            return answer_json(start_response, "200 OK", self._limits.told())
        if environ["REQUEST_METHOD"] == "POST":
            try:
                for name, value in dict(json.loads(environ["wsgi.input"].read())).items():
                    self._faults.set(name, float(value))
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                told = f"expected a JSON object of faults and numbers: {error}"
                return answer_json(start_response, "400 Bad Request", {"message": told})
        return answer_json(start_response, "200 OK", self._faults.in_force())


def _scope(environ: dict[str, Any]) -> tuple[str, str]:
    """The service and the region that the request was signed for; empty where it was not."""
    if is_presigned_v2(environ):  # a signature that only S3 takes: no other service may answer it
        return "s3", REGION
    signed = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")) or _SCOPE.search(
        "Credential=" + parse_qs(environ["QUERY_STRING"]).get("X-Amz-Credential", [""])[0]
    )
    return (signed["service"], signed["region"]) if signed else ("", "")


def _operation(service: str, environ: dict[str, Any]) -> str:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return str(target).rpartition(".")[2]
    action = _action(environ)
    if service in ("s3", "") and not action:
        is_object = "/" in unquote(environ["PATH_INFO"]).strip("/")
        operations = _OBJECT_OPERATIONS if is_object else _BUCKET_OPERATIONS
        method = str(environ["REQUEST_METHOD"])
        return operations.get(method, method)
    return action or str(environ["PATH_INFO"])


def _action(environ: dict[str, Any]) -> str:
    """What a form asks for, in the body or in the query; S3 has none."""
    text = _form_of(environ)
    return parse_qs(text).get("Action", [""])[0] if "Action=" in text else ""


def _form_of(environ: dict[str, Any]) -> str:
    body = environ["wsgi.input"]
    text = str(environ["QUERY_STRING"])
    if environ.get("CONTENT_TYPE", "").startswith(FORM) and isinstance(body, io.BytesIO):
        text += "&" + body.getvalue().decode("utf-8", "replace")  # none is so long that it is left in the socket
    return text


def _check_shape(service: str, operation: str, environ: dict[str, Any]) -> None:
    if environ.get("HTTP_X_AMZ_TARGET"):
        body = check_json(service, operation, environ["wsgi.input"].read())
        environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    elif service != "s3":
        check_form(service, operation, _form_of(environ))

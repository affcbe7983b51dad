"""How AWS's services word an error on the wire: each family of protocols has a form, and codes, of its own.

After https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html,
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from __future__ import annotations

import enum
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from pytest_fargate_sandbox.local.signatures_v4 import S3_SERVICES, SignatureRefused, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FORM = "application/x-www-form-urlencoded"
_QUERY_SERVICES = ("sts", "iam", "autoscaling", "cloudformation", "elasticloadbalancing", "rds", "sns", "redshift")


class Family(enum.Enum):
    """Services that word their errors alike."""

    JSON = enum.auto()
    REST_JSON = enum.auto()
    QUERY = enum.auto()
    EC2 = enum.auto()
    S3 = enum.auto()


_TOLD_APART = (Family.JSON, Family.QUERY, Family.EC2, Family.S3)
_REFUSALS = {
    Wrong.MISSING: ("400 MissingAuthenticationTokenException", "403 MissingAuthenticationToken",
                    "401 AuthFailure", "403 AccessDenied"),
    Wrong.MALFORMED: ("400 IncompleteSignatureException", "403 IncompleteSignature",
                      "403 IncompleteSignature", "400 AuthorizationHeaderMalformed"),
    # S3 takes an older mechanism for old buckets only:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
    Wrong.MECHANISM: ("400 IncompleteSignatureException", "403 IncompleteSignature",
                      "403 IncompleteSignature", "400 InvalidRequest"),
    Wrong.KEY: ("400 UnrecognizedClientException", "403 InvalidClientTokenId",
                "401 AuthFailure", "403 InvalidAccessKeyId"),
    Wrong.TOKEN_EXPIRED: ("400 ExpiredTokenException", "403 ExpiredToken", "400 RequestExpired", "400 ExpiredToken"),
    Wrong.SIGNATURE: ("400 InvalidSignatureException", "403 SignatureDoesNotMatch",
                      "401 AuthFailure", "403 SignatureDoesNotMatch"),
    Wrong.TIME: ("400 InvalidSignatureException", "403 SignatureDoesNotMatch",
                 "400 RequestExpired", "403 RequestTimeTooSkewed"),
    Wrong.URL_EXPIRED: ("400 InvalidSignatureException", "403 SignatureDoesNotMatch",
                        "400 RequestExpired", "403 AccessDenied"),
    Wrong.BODY: ("400 InvalidSignatureException", "403 SignatureDoesNotMatch",
                 "401 AuthFailure", "400 XAmzContentSHA256Mismatch"),
}  # fmt: skip
"""Status and code in each family of ``_TOLD_APART``. REST services have JSON's codes, and always 403."""
_REMEDY = (
    "sign with the keys that this engine printed (or that its IAM or STS handed out), or start it with --open, "
    "which lets any credentials in"
)


def family_of(service: str, environ: dict[str, Any]) -> Family:
    """The family of the service that a request was signed for, or, unsigned, of what it looks like."""
    if service == "ec2":
        return Family.EC2
    if service in S3_SERVICES:
        return Family.S3
    if "HTTP_X_AMZ_TARGET" in environ:
        return Family.JSON
    if service in _QUERY_SERVICES:
        return Family.QUERY
    if service:
        return Family.REST_JSON
    is_form = "Action=" in environ["QUERY_STRING"] or environ.get("CONTENT_TYPE", "").startswith(FORM)
    return Family.QUERY if is_form else Family.S3


def answer_refusal(start_response: Callable[..., Any], family: Family, refusal: SignatureRefused) -> Iterable[bytes]:
    """A signature that does not hold, in AWS's own code, with what to do about it."""
    is_rest = family is Family.REST_JSON
    told = _REFUSALS[refusal.wrong][_TOLD_APART.index(Family.JSON if is_rest else family)]
    status, _, code = told.partition(" ")
    return answer_error(start_response, family, 403 if is_rest else int(status), code, f"{refusal}; {_REMEDY}")


def answer_error(
    start_response: Callable[..., Any], family: Family, status: int, code: str, message: str
) -> Iterable[bytes]:
    line = f"{status} {HTTPStatus(status).phrase}"
    if family in (Family.JSON, Family.REST_JSON):
        return answer_json(start_response, line, {"__type": code, "message": message}, code)
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if family is Family.S3:
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{error}</Error>'
    elif family is Family.EC2:
        xml = f"<Response><Errors><Error>{error}</Error></Errors></Response>"
    else:
        xml = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>"
    text = xml.encode()
    start_response(line, [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
    return [text]


def answer_json(
    start_response: Callable[..., Any], status: str, value: dict[str, Any], error: str = ""
) -> Iterable[bytes]:
    text = json.dumps(value).encode()
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(text)))]
    start_response(status, headers + ([("x-amzn-ErrorType", error)] if error else []))
    return [text]

"""What moto falls over, as AWS would have said it. Anything else is an error of the engine's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs
from xml.parsers.expat import ExpatError

from pytest_fargate_sandbox.local.ecs.refusals import ServerException
from pytest_fargate_sandbox.local.engine_credentials import REGION
from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_ERROR = "The engine met an error of its own in %s; its log (--log FILE) has more."


_NO_SUCH_METHOD = (("DEFAULT",), ("key",))
"""Of a POST: forms for browsers are not there."""


class Told(NamedTuple):
    status: int
    code: str
    message: str


def told_by_aws(error: Exception, service: str, region: str, environ: Mapping[str, Any]) -> Told | None:
    """Raises ``error`` again where nobody is there to be told."""
    if isinstance(error, (Disconnected, Malformed)):
        raise error
    if isinstance(error, ServerException):
        return Told(500, "ServerException", "Service Unavailable. Please try again later.")
    if isinstance(error, NotImplementedError):
        return Told(501, "NotImplemented", f"The engine does not have this: {error}")
    if isinstance(error, KeyError) and error.args == (region,):
        there = f"there is no region {region!r}; the clusters of this engine are in {REGION}"
        return Told(400, "InvalidParameterException", there)
    return _told_by_s3(error, environ) if service == "s3" else None


def _told_by_s3(error: Exception, environ: Mapping[str, Any]) -> Told | None:
    if isinstance(error, KeyError):
        upload = parse_qs(environ["QUERY_STRING"]).get("uploadId")
        if upload == [*error.args]:
            return Told(404, "NoSuchUpload", "The specified upload does not exist.")
        if error.args in _NO_SUCH_METHOD:
            return Told(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        return None
    if isinstance(error, UnicodeError):
        return Told(400, "InvalidURI", "Couldn't parse the specified URI.")
    if isinstance(error, ExpatError):
        return Told(400, "MalformedXML", "The XML you provided was not well-formed.")
    if isinstance(error, ValueError) and "closed file" in str(error):  # 503: every client tries again
        return Told(503, "ServiceUnavailable", "Another request has just put or deleted this object.")
    return Told(400, "InvalidArgument", "Invalid Argument") if isinstance(error, ValueError) else None

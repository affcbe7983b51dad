"""What AWS refuses, in words that a user can act on. botocore's errors are mapped here, once, and nowhere else.

Three things about an error matter to whoever made the call:

``transient``    trying the same again can help: throttling, capacity, a broken connection.
``lost_answer``  the request may have been carried out, though no answer came, or one that AWS itself broke down (5xx).
                 Only then is a ``clientToken`` sent again.
``gone``         who was asked is no more, and whatever it had is not either: only another place can help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.providers.aws.reasons import CREDENTIALS, reason_of

_DENIED_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)")

_UNSENT = ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "SSLError")
"""botocore's errors for a request that never left."""

_UNANSWERED = (
    "ReadTimeoutError",
    "ConnectionClosedError",
    "HTTPClientError",
    "ConnectionError",
    "ResponseStreamingError",
)
"""botocore's errors for a request that left and was not answered."""


class AwsError(SandboxError):
    """A call that AWS refused or did not answer; the message ends with what to do."""

    def __init__(
        self,
        message: str,
        *,
        service: str = "",
        operation: str = "",
        code: str = "",
        reason: str = "",
        transient: bool = False,
        lost_answer: bool = False,
        unreachable: bool = False,
        gone: bool = False,
    ) -> None:
        super().__init__(
            message,
            service=service,
            operation=operation,
            code=code,
            reason=reason,
            transient=transient,
            lost_answer=lost_answer,
            unreachable=unreachable,
            gone=gone,
        )

    @property
    def is_unknown_task(self) -> bool:
        """Whether ECS does not know the task: it never was there, or it was over some time ago, or all of ECS is."""
        return bool(self.gone or (self.code == "InvalidParameterException" and "not found" in self.reason))

    @property
    def is_silence(self) -> bool:
        """Whether no answer came that says anything: whoever else is asked about at this place, none will come."""
        return bool(self.unreachable or self.lost_answer)

    @property
    def told_briefly(self) -> str:
        """Without its advice."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True)
class Call:
    """A call, as far as an error has to tell where it went."""

    service: str
    operation: str
    region: str | None
    endpoint: str | None
    parameters: dict[str, Any]

    @property
    def place(self) -> str:
        return self.endpoint or f"region {self.region}"


def mapped(error: Exception, call: Call) -> AwsError:
    """``error``, which botocore raised for ``call``, as one of ours."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0
        return _refused(response.get("Error") or {}, call, is_its_own_fault=status >= 500)
    return _unanswered(error, call)


def _refused(details: dict[str, Any], call: Call, *, is_its_own_fault: bool) -> AwsError:
    code, text = str(details.get("Code") or "Unknown"), str(details.get("Message") or "").strip()
    known = reason_of(code, text)
    advice = known.remedy.format_map(_facts(call, text)) if known else ""
    sentence = f"{call.service} {call.operation} failed with {code}: {text or 'no reason given'}"
    return AwsError(
        f"{sentence}\n{advice}" if advice else sentence,
        service=call.service,
        operation=call.operation,
        code=code,
        reason=text,
        transient=is_its_own_fault or (known is not None and known.transient),
        lost_answer=is_its_own_fault,
    )


def _facts(call: Call, text: str) -> dict[str, Any]:
    """What a remedy may name. IAM says which action is missing, mostly; an unlisted one is the operation itself."""
    denied = _DENIED_ACTION.search(text)
    network = (call.parameters.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    return {
        "place": call.place,
        "action": denied.group(1) if denied else f"{call.service}:{call.operation}",
        "cluster": call.parameters.get("cluster", ""),
        "subnets": ", ".join(network.get("subnets") or []) or "none given",
        "groups": ", ".join(network.get("securityGroups") or []) or "none given",
        "secret": call.parameters.get("SecretId", ""),
        "parameter": call.parameters.get("Name", ""),
        "bucket": call.parameters.get("Bucket", ""),
    }


def gone(why: str, call: Call) -> AwsError:
    """No answer to ``call`` will ever come."""
    return AwsError(
        f"{call.service} {call.operation}: {why}",
        service=call.service,
        operation=call.operation,
        code="Gone",
        reason=why,
        transient=True,
        gone=True,
    )


def _unanswered(error: Exception, call: Call) -> AwsError:
    kinds = {each.__name__ for each in type(error).__mro__}
    unsent = bool(kinds & set(_UNSENT))
    unanswered = not unsent and bool(kinds & set(_UNANSWERED))
    return AwsError(
        f"{call.service} {call.operation}: {error}\n{_unanswered_advice(kinds, call)}".rstrip(),
        service=call.service,
        operation=call.operation,
        code=type(error).__name__,
        reason=str(error),
        transient=unsent or unanswered,
        lost_answer=unanswered,
        unreachable=unsent,
    )


def _unanswered_advice(kinds: set[str], call: Call) -> str:
    if "NoRegionError" in kinds:
        return "name a region: `region`, AWS_REGION, or the profile's own"
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}:
        return f"there are no usable AWS credentials: {CREDENTIALS}; the cluster `local` needs none"
    if kinds & {"SSOError", "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError"}:
        return "the AWS sign-in has expired: `aws sso login`"
    if kinds & {"ParamValidationError"}:
        return "a value of the configuration has the wrong type"
    if "SSLError" in kinds:
        return (
            f"who answers at {call.place} shows a certificate that is not trusted here: AWS_CA_BUNDLE names a file of "
            "the CAs that are, that of a proxy among them"
        )
    if kinds & {*_UNSENT, *_UNANSWERED}:
        return f"is {call.place} right, and can it be reached from here (network, proxy, VPC endpoint)?"
    if "ValueError" in kinds:
        return "where AWS answers (`endpoint_url`, AWS_ENDPOINT_URL) is http://HOST:PORT or https://HOST:PORT"
    return ""

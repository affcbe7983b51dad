"""Whoever asks politely, and without the owner's keys, is told what AWS would tell him."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.local.raw_requests import Keys, Request, Signer, ecs_call, form_call
from tests.local.strangers import Stranger, port_of

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess
    from tests.local.raw_requests import Answer

pytestmark = pytest.mark.root

_STS, _IAM, _EC2 = "2011-06-15", "2010-05-08", "2016-11-15"
FOREIGN = Keys("AKIAFOREIGNFOREIGN00", "somebody else's secret")

_S3_LIST = Request("GET", "/nobodys", "list-type=2")
_ECS_LIST = ecs_call("ListClusters")
_STS_WHO, _IAM_USERS = form_call("GetCallerIdentity", _STS), form_call("ListUsers", _IAM)
_EC2_SUBNETS = form_call("DescribeSubnets", _EC2)
_MALFORMED = "AWS4-HMAC-SHA256 Credential=garbage"


def _polite(owner: Keys) -> dict[str, tuple[Request, int, str]]:
    """Requests and what AWS answers to each."""
    wrong = Keys(owner.id, "a guess")
    cases: dict[str, tuple[Request, int, str]] = {}
    json_codes = ("MissingAuthenticationToken", "IncompleteSignature", "UnrecognizedClient", "InvalidSignature")
    for service, call in {"ecs": _ECS_LIST, "logs": _logs(), "ssm": _ssm(), "dynamodb": _dynamodb()}.items():
        missing, incomplete, unknown, invalid = (f"{code}Exception" for code in json_codes)
        cases |= _four(service, call, wrong, [(400, missing), (400, incomplete), (400, unknown), (400, invalid)])
    query_codes = ("MissingAuthenticationToken", "IncompleteSignature", "InvalidClientTokenId", "SignatureDoesNotMatch")
    for service, call in {"sts": _STS_WHO, "iam": _IAM_USERS}.items():
        cases |= _four(service, call, wrong, [(403, code) for code in query_codes])
    cases |= {
        "ec2: unknown key": (Signer(FOREIGN, "ec2").sign(_EC2_SUBNETS), 401, "AuthFailure"),
        "ec2: wrong signature": (Signer(wrong, "ec2").sign(_EC2_SUBNETS), 401, "AuthFailure"),
        "s3: unsigned": (_S3_LIST, 403, "AccessDenied"),
        "s3: unknown key": (Signer(FOREIGN, "s3").sign(_S3_LIST), 403, "InvalidAccessKeyId"),
        "s3: wrong signature": (Signer(wrong, "s3").sign(_S3_LIST), 403, "SignatureDoesNotMatch"),
        "s3: presigned by a guess": (Signer(wrong, "s3").presign(_S3_LIST), 403, "SignatureDoesNotMatch"),
        "s3: presigned by a stranger": (Signer(FOREIGN, "s3").presign(_S3_LIST), 403, "InvalidAccessKeyId"),
        "sts: presigned by a guess": (
            Signer(wrong, "sts").presign(Request("GET", query="Action=GetCallerIdentity&Version=" + _STS)),
            403,
            "SignatureDoesNotMatch",
        ),
    }
    return cases


def _four(service: str, call: Request, wrong: Keys, told: list[tuple[int, str]]) -> dict[str, tuple[Request, int, str]]:
    made = {
        "unsigned": call,
        "malformed": call.with_headers(Authorization=_MALFORMED),
        "unknown key": Signer(FOREIGN, service).sign(call),
        "wrong signature": Signer(wrong, service).sign(call),
    }
    return {f"{service}: {what}": (made[what], *answer) for what, answer in zip(made, told, strict=True)}


def _logs() -> Request:
    return replace(_ECS_LIST, headers=(("X-Amz-Target", "Logs_20140328.DescribeLogGroups"), _ECS_LIST.headers[1]))


def _ssm() -> Request:
    return replace(_ECS_LIST, headers=(("X-Amz-Target", "AmazonSSM.DescribeParameters"), _ECS_LIST.headers[1]))


def _dynamodb() -> Request:
    return replace(_ECS_LIST, headers=(("X-Amz-Target", "DynamoDB_20120810.ListTables"), _ECS_LIST.headers[1]))


@pytest.fixture(scope="module")
def told(engine: EngineProcess) -> dict[str, Answer]:
    """All polite requests, by one stranger, and the engine's answers."""
    cases = _polite(Keys.printed(engine.exports))
    answers = Stranger(port_of(engine)).send([request for request, _, _ in cases.values()], "polite")
    return dict(zip(cases, answers, strict=True))


@pytest.mark.parametrize("case", _polite(FOREIGN))
def test_a_polite_stranger_is_told_as_aws_tells_it(told: dict[str, Answer], case: str) -> None:
    _, status, code = _polite(FOREIGN)[case]
    assert (told[case].status, told[case].code) == (status, code)

"""The signature byte by byte: what AWS's own rules make of a request, and each single change that breaks it."""

from __future__ import annotations

import base64
import hashlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.local.raw_requests import UNSIGNED, Answer, Keys, Request, Signer, ecs_call, form_call
from tests.local.strangers import port_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.engine_process import EngineProcess

_STS, _EC2 = "2011-06-15", "2016-11-15"
_BUCKET = "signed-raw"
_LIST = ecs_call("ListClusters", maxResults=5)
_WHO = form_call("GetCallerIdentity", _STS)
_SUBNETS = form_call("DescribeSubnets", _EC2)
_GET = Request("GET", f"/{_BUCKET}/a%20b%2Bc")
_PUT = Request("PUT", f"/{_BUCKET}/put", body=b"content")
_MD5, _QUARTER = base64.b64encode(hashlib.md5(_PUT.body).digest()).decode(), 15 * 60


@pytest.fixture(scope="module")
def owner(engine: EngineProcess) -> Keys:
    engine.client("s3").create_bucket(Bucket=_BUCKET)
    engine.client("s3").put_object(Bucket=_BUCKET, Key="a b+c", Body=b"content")
    engine.client("s3").put_object(Bucket=_BUCKET, Key="a%2Bb", Body=b"percent")
    return Keys.printed(engine.exports)


PASSING: dict[str, tuple[str, Request]] = {
    "JSON": ("ecs", _LIST),
    "JSON with blanks around": ("ecs", replace(_LIST, body=b'  {"maxResults" : 5}\n')),
    "an empty body": ("ecs", replace(_LIST, body=b"{}")),
    "a form": ("sts", _WHO),
    "a form of EC2's": ("ec2", _SUBNETS),
    "an operation in the query": ("sts", Request("GET", query="Action=GetCallerIdentity&Version=" + _STS)),
    "parameters in any order": ("sts", Request("GET", query=f"Version={_STS}&Action=GetCallerIdentity")),
    "upper case before lower case": ("s3", Request("GET", f"/{_BUCKET}", "prefix=a&list-type=2&Z=1&a=2&_=3&-=4&~=5")),
    "a parameter twice": ("s3", Request("GET", f"/{_BUCKET}", "x=b&list-type=2&x=a&x=")),
    "parameters that begin alike": ("s3", Request("GET", f"/{_BUCKET}", "a-b=1&a=2&a.b=3&aa=4&list-type=2")),
    "an empty value": ("s3", Request("GET", f"/{_BUCKET}", "prefix=&list-type=2")),
    "no value": ("s3", Request("GET", f"/{_BUCKET}", "location")),
    "no value but a sign": ("s3", Request("GET", f"/{_BUCKET}", "location=")),
    "a sign in the value": ("s3", Request("GET", f"/{_BUCKET}", "prefix=a%3Db%26c&list-type=2")),
    "a plus and a blank in the query": ("s3", Request("GET", f"/{_BUCKET}", "prefix=a%20b%2Bc&list-type=2")),
    "slashes in the query": ("s3", Request("GET", f"/{_BUCKET}", "prefix=a%2Fb&delimiter=%2F&list-type=2")),
    "a slash as it is in the query": ("s3", Request("GET", f"/{_BUCKET}", "delimiter=/&list-type=2")),
    "small hexadecimal digits in the query": ("s3", Request("GET", f"/{_BUCKET}", "prefix=a%2bb%c3%bc&list-type=2")),
    "beyond ASCII in the query": ("s3", Request("GET", f"/{_BUCKET}", "prefix=%C3%BC%E6%97%A5&list-type=2")),
    "a path with a plus": ("s3", _GET),
    "an encoded percent sign": ("s3", replace(_GET, path=f"/{_BUCKET}/a%252Bb")),
    "an ARN as it is in the path": ("lambda", Request("GET", "/2017-03-31/tags/arn:aws:lambda:us-east-1:1:function:f")),
    "an ARN encoded in the path": (
        "lambda",
        Request("GET", "/2017-03-31/tags/" + quote("arn:aws:lambda:us-east-1:123456789012:function:f", safe="")),
    ),
    "a body that is not signed": ("s3", _PUT),
    "runs of blanks in a header": ("s3", _PUT.with_headers(x_amz_meta_a="  one   two    three  ")),
    "a tab in a header": ("s3", _PUT.with_headers(x_amz_meta_a="one \t two")),
    "quoted blanks in a header": ("s3", _PUT.with_headers(x_amz_meta_a='"one   two"')),
    "an empty header": ("s3", _PUT.with_headers(x_amz_meta_a="")),
    "a header twice": ("s3", _PUT.with_headers(x_amz_meta_a="one").with_headers(x_amz_meta_a="two")),
    "capitals in a header's name": ("s3", _PUT.with_headers(X_AMZ_META_A="one")),
    "an underscore in a header's name": ("s3", replace(_PUT, headers=(("x-amz-meta-a_b", "one"),))),
    "a content type": ("s3", _PUT.with_headers(Content_Type="text/plain; charset=utf-8")),
    "a hash of the body": (
        "s3",
        _PUT.with_headers(Content_MD5=base64.b64encode(hashlib.md5(_PUT.body).digest()).decode()),
    ),
    "another host": ("ecs", replace(_LIST, host="localhost:1")),
    "a host without a port": ("s3", replace(_GET, host="127.0.0.1")),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_is_signed_as_aws_documents_it_passes(engine: EngineProcess, owner: Keys, case: str) -> None:
    service, request = PASSING[case]
    signer = Signer(owner, service, payload=UNSIGNED if case == "a body that is not signed" else "")
    for how, signed in {"header": signer.sign(request), "query": signer.presign(request)}.items():
        answer = signed.send(port_of(engine))
        assert answer.status == 200 or (service, answer.status) == ("lambda", 404), (how, answer.body)


@pytest.mark.parametrize("service", ["ecs", "sts", "s3"])
@pytest.mark.parametrize("age", [-_QUARTER + 30, _QUARTER - 30])
def test_a_clock_that_is_almost_15_minutes_off_passes(
    engine: EngineProcess, owner: Keys, service: str, age: int
) -> None:
    call = {"ecs": _LIST, "sts": _WHO, "s3": _GET}[service]
    assert Signer(owner, service, age_sec=age).sign(call).send(port_of(engine)).status == 200


def test_the_headers_that_clients_leave_out_are_not_missed(engine: EngineProcess, owner: Keys) -> None:
    """The content type among them, which S3 does not insist on."""
    unsigned = frozenset({"content-type", "user-agent", "accept", "x-amzn-trace-id", "amz-sdk-request"})
    call = _LIST.with_headers(User_Agent="x", Accept="*/*", X_Amzn_Trace_Id="Root=1", amz_sdk_request="attempt=1")
    assert Signer(owner, "ecs", left_out=unsigned).sign(call).send(port_of(engine)).status == 200


@pytest.mark.parametrize("separator", [",", ", ", " , "])
def test_the_parts_of_the_header_are_parted_in_any_way(engine: EngineProcess, owner: Keys, separator: str) -> None:
    signed = Signer(owner, "ecs").sign(_LIST)
    value = dict(signed.headers)["Authorization"].replace(", ", separator)
    answer = signed.without_header("Authorization").with_headers(Authorization=value).send(port_of(engine))
    assert answer.status == 200


def test_a_body_in_chunks_passes(engine: EngineProcess, owner: Keys) -> None:
    raw = Signer(owner, "s3").sign(_PUT).encode()
    head = raw[: -len(_PUT.body)].replace(b"Content-Length: 7", b"Transfer-Encoding: chunked")
    answer = _exchange(port_of(engine), head + b"3\r\ncon\r\n4\r\ntent\r\n0\r\n\r\n")
    assert answer.status == 200
    assert engine.client("s3").get_object(Bucket=_BUCKET, Key="put")["Body"].read() == b"content"


def test_a_body_with_its_checksum_at_the_end_passes(engine: EngineProcess, owner: Keys) -> None:
    """As the JavaScript SDK streams to S3, also over plain HTTP."""
    more = {
        "Content_Encoding": "aws-chunked",
        "X_Amz_Decoded_Content_Length": "7",
        "X_Amz_Trailer": "x-amz-checksum-crc32",
    }
    body = b"7\r\ncontent\r\n0\r\nx-amz-checksum-crc32:Nab2pA==\r\n\r\n"
    request = replace(_PUT, path=f"/{_BUCKET}/trailer", body=body).with_headers(**more)
    answer = Signer(owner, "s3", payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER").sign(request).send(port_of(engine))
    assert answer.status == 200, answer.body
    assert engine.client("s3").get_object(Bucket=_BUCKET, Key="trailer")["Body"].read() == b"content"


def test_a_body_in_signed_chunks_passes(engine: EngineProcess, owner: Keys) -> None:
    """As Java's SDK streams to S3 over plain HTTP; each chunk is signed on top of the one before."""
    streamed = _STREAMED.with_headers(
        Content_Length=str(len(_chunk(b"content", "0" * 64)) + len(_chunk(b"", "0" * 64)))
    )
    signer = Signer(owner, "s3", payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    signed = signer.sign(streamed)
    first = signer.sign_chunk(signed, _signature(signed), b"content")
    last = signer.sign_chunk(signed, first, b"")
    raw = _without_second_length(signed.encode()) + _chunk(b"content", first) + _chunk(b"", last)
    answer = _exchange(port_of(engine), raw)
    assert answer.status == 200, answer.body
    assert engine.client("s3").get_object(Bucket=_BUCKET, Key="streamed")["Body"].read() == b"content"


_STREAMED = Request("PUT", f"/{_BUCKET}/streamed").with_headers(
    Content_Encoding="aws-chunked", X_Amz_Decoded_Content_Length="7"
)


def _chunk(content: bytes, signature: str) -> bytes:
    return b"%x;chunk-signature=%b\r\n%b\r\n" % (len(content), signature.encode(), content)


def _without_second_length(raw: bytes) -> bytes:
    return raw.replace(b"\r\nContent-Length: 0\r\n", b"\r\n")


def test_a_url_may_say_that_its_body_is_not_signed(engine: EngineProcess, owner: Keys) -> None:
    """As the JavaScript SDK presigns, with a checksum beside it."""
    query = f"X-Amz-Content-Sha256={UNSIGNED}&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
    signed = Signer(owner, "s3").presign(replace(_PUT, query=query))
    assert signed.send(port_of(engine)).status == 200


def test_a_body_that_waits_for_100_continue_is_checked_too(engine: EngineProcess, owner: Keys) -> None:
    """As boto3 and the AWS CLI put every object: the engine does not read it before the signature is checked."""
    signed = Signer(owner, "s3").sign(replace(_PUT, path=f"/{_BUCKET}/continued"))
    expecting = signed.with_headers(Expect="100-continue")
    for body, status in ((b"CONTENT", 400), (b"content", 200)):
        raw = replace(expecting, body=body).encode()
        answers = _exchange_all(port_of(engine), raw)
        assert f" {status} ".encode() in answers
    assert engine.client("s3").get_object(Bucket=_BUCKET, Key="continued")["Body"].read() == b"content"


def _exchange_all(port: int, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _exchange(port: int, raw: bytes) -> Answer:
    return Answer.parse(_exchange_all(port, raw))


# Each single change


def _with(request: Request, name: str, value: str) -> Request:
    return replace(request, headers=tuple((n, value if n.lower() == name.lower() else v) for n, v in request.headers))


def _authorization(request: Request, old: str, new: str) -> Request:
    value = dict(request.headers)["Authorization"]
    assert old in value
    return _with(request, "Authorization", value.replace(old, new, 1))


CHANGES: dict[str, Callable[[Request], Request]] = {
    "another method": lambda r: replace(r, method="PUT" if r.method != "PUT" else "POST"),
    "another path": lambda r: replace(r, path=r.path + "x"),
    "a parameter more": lambda r: replace(r, query=f"{r.query}&x=y".lstrip("&")),
    "another host": lambda r: replace(r, host="127.0.0.2"),
    "another date": lambda r: _with(r, "X-Amz-Date", dict(r.headers)["X-Amz-Date"][:-2] + "xZ"),
    "a date that is not the scope's": lambda r: _with(r, "X-Amz-Date", "20200101T000000Z"),
    "no date": lambda r: r.without_header("X-Amz-Date"),
    "another region": lambda r: _authorization(r, "/us-east-1/", "/eu-west-1/"),
    "another day": lambda r: _authorization(r, "/20", "/19"),
    "another end of the scope": lambda r: _authorization(r, "aws4_request", "aws5_request"),
    "another algorithm": lambda r: _authorization(r, "SHA256", "SHA512"),
    "a signed header less": lambda r: _authorization(r, ";x-amz-date", ""),
    "the host is not signed": lambda r: _authorization(r, "host;", ""),
    "a signed header that is not there": lambda r: _authorization(r, "host;", "host;x-absent;"),
    "capitals in the signature": lambda r: _authorization(r, _signature(r), _signature(r).upper()),
    "a signature cut off": lambda r: _authorization(r, _signature(r), _signature(r)[:-1]),
    "a signature with more": lambda r: _authorization(r, _signature(r), _signature(r) + "0"),
    "no signature": lambda r: _authorization(r, ", Signature=" + _signature(r), ""),
    "no signed headers": lambda r: _authorization(r, "SignedHeaders=", "Headers="),
    "no credential": lambda r: _authorization(r, "Credential=", "Credentials="),
    "a short scope": lambda r: _authorization(r, "/aws4_request", ""),
    "the header twice": lambda r: r.with_headers(Authorization=dict(r.headers)["Authorization"]),
}


def _signature(request: Request) -> str:
    return dict(request.headers)["Authorization"].rpartition("=")[2]


_BASES = {"ecs": _LIST, "sts": _WHO, "ec2": _SUBNETS, "s3": replace(_GET, headers=(("Content-Type", "a/b"),))}
_JSON_CODES = ("InvalidSignatureException", "IncompleteSignatureException")
_QUERY_CODES = ("SignatureDoesNotMatch", "IncompleteSignature")
_CODES: dict[str, tuple[str, ...]] = {
    "ecs": _JSON_CODES,
    "sts": _QUERY_CODES,
    "ec2": ("AuthFailure", "RequestExpired", "IncompleteSignature"),
    "s3": ("SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "AccessDenied", "RequestTimeTooSkewed"),
}
_CODES_OF_ALL = (
    "MissingAuthenticationTokenException",
    "MissingAuthenticationToken",
    "IncompleteSignatureException",
    "IncompleteSignature",
    "InvalidArgument",
    "InvalidRequest",
)
"""Which of them depends on the part that is broken, and AWS's own services do not agree with one another there."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_single_change_breaks_the_signature(engine: EngineProcess, owner: Keys, change: str) -> None:
    for service, request in _BASES.items():
        answer = CHANGES[change](Signer(owner, service).sign(request)).send(port_of(engine))
        assert answer.status in (400, 401, 403), (service, answer.body)
        assert answer.code in {*_CODES[service], *_CODES_OF_ALL}, service


@pytest.mark.parametrize("service", ["ecs", "sts", "ec2", "s3"])
def test_a_scope_of_another_service_opens_nothing(engine: EngineProcess, owner: Keys, service: str) -> None:
    """Signed for one and sent with the name of another."""
    signed = Signer(owner, "ssm").sign(_BASES[service])
    answer = _authorization(signed, "/ssm/", f"/{service}/").send(port_of(engine))
    assert answer.status in (400, 401, 403)
    assert answer.code in _CODES[service]


@pytest.mark.parametrize("service", ["ecs", "sts", "ec2"])
@pytest.mark.parametrize("change", ["a byte", "a byte less", "a byte more", "nothing"])
def test_a_body_that_is_not_the_signed_one_is_refused(
    engine: EngineProcess, owner: Keys, service: str, change: str
) -> None:
    signed = Signer(owner, service).sign(_BASES[service])
    body = signed.body
    bodies = {
        "a byte": body[:-2] + b" " + body[-1:],
        "a byte less": body[:-1],
        "a byte more": body + b" ",
        "nothing": b"",
    }
    answer = replace(signed, body=bodies[change]).send(port_of(engine))
    told = {
        "ecs": (400, "InvalidSignatureException"),
        "sts": (403, "SignatureDoesNotMatch"),
        "ec2": (401, "AuthFailure"),
    }
    assert (answer.status, answer.code) == told[service]


def test_a_body_of_s3_that_is_not_the_signed_one_is_refused_and_not_stored(engine: EngineProcess, owner: Keys) -> None:
    for size in (7, 3 << 20):
        signed = Signer(owner, "s3").sign(replace(_PUT, path=f"/{_BUCKET}/forged", body=b"x" * size))
        answer = replace(signed, body=b"x" * (size - 1) + b"y").send(port_of(engine))
        assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
        listed = engine.client("s3").list_objects_v2(Bucket=_BUCKET, Prefix="forged")
        assert listed["KeyCount"] == 0


def test_a_larger_body_that_was_signed_passes(engine: EngineProcess, owner: Keys) -> None:
    body = b"x" * (3 << 20)
    signed = Signer(owner, "s3").sign(replace(_PUT, path=f"/{_BUCKET}/large", body=body))
    assert signed.send(port_of(engine)).status == 200
    assert engine.client("s3").head_object(Bucket=_BUCKET, Key="large")["ContentLength"] == len(body)


def test_a_hash_that_is_not_the_one_that_was_signed_is_refused(engine: EngineProcess, owner: Keys) -> None:
    signed = Signer(owner, "s3").sign(_PUT)
    answer = _with(signed, "X-Amz-Content-Sha256", UNSIGNED).send(port_of(engine))
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_a_body_is_not_called_unsigned_after_the_fact(engine: EngineProcess, owner: Keys) -> None:
    call = _LIST.with_headers(X_Amz_Content_Sha256=UNSIGNED)
    answer = replace(Signer(owner, "ecs").sign(call), body=b'{"maxResults": 1}').send(port_of(engine))
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("header", ["x-amz-acl", "x-amz-copy-source", "x-amz-meta-a", "x-amz-tagging"])
def test_s3_takes_no_amazon_header_that_was_not_signed(engine: EngineProcess, owner: Keys, header: str) -> None:
    more = {header: f"/{_BUCKET}/a%20b%2Bc"}
    for signed in (Signer(owner, "s3").sign(_PUT), Signer(owner, "s3").presign(_PUT)):
        answer = signed.with_headers(**more).send(port_of(engine))
        assert (answer.status, answer.code) in ((403, "AccessDenied"), (403, "SignatureDoesNotMatch"))


def test_another_target_under_the_signature_is_refused(engine: EngineProcess, owner: Keys) -> None:
    signed = _with(Signer(owner, "ecs").sign(_LIST), "X-Amz-Target", "AmazonEC2ContainerServiceV20141113.CreateCluster")
    answer = signed.send(port_of(engine))
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


def test_a_target_that_was_not_signed_is_refused(engine: EngineProcess, owner: Keys) -> None:
    signed = Signer(owner, "ecs", left_out=frozenset({"x-amz-target"})).sign(_LIST)
    answer = signed.send(port_of(engine))
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


def test_a_plus_that_was_signed_does_not_pass_as_a_blank(engine: EngineProcess, owner: Keys) -> None:
    signed = Signer(owner, "s3").sign(Request("GET", f"/{_BUCKET}", "list-type=2&prefix=a%2Bb"))
    answer = replace(signed, query="list-type=2&prefix=a+b").send(port_of(engine))
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_parameters_change_neither_order_nor_owner(engine: EngineProcess, owner: Keys) -> None:
    signed = Signer(owner, "s3").sign(Request("GET", f"/{_BUCKET}", "list-type=2&prefix=a&delimiter=b"))
    moved = replace(signed, query="delimiter=b&prefix=a&list-type=2").send(port_of(engine))
    assert moved.status == 200
    swapped = replace(signed, query="list-type=2&prefix=b&delimiter=a").send(port_of(engine))
    joined = replace(signed, query="list-type=2&prefix=a%26delimiter%3Db").send(port_of(engine))
    assert (swapped.code, joined.code) == ("SignatureDoesNotMatch",) * 2


@pytest.mark.parametrize("age", [_QUARTER + 60, 3600, 8 * 24 * 3600, -_QUARTER - 60])
def test_a_signature_of_another_time_is_refused(engine: EngineProcess, owner: Keys, age: int) -> None:
    told = {
        "ecs": (400, "InvalidSignatureException"),
        "sts": (403, "SignatureDoesNotMatch"),
        "ec2": (400, "RequestExpired"),
        "s3": (403, "RequestTimeTooSkewed"),
    }
    for service, call in _BASES.items():
        answer = Signer(owner, service, age_sec=age).sign(call).send(port_of(engine))
        assert (service, answer.status, answer.code) == (service, *told[service])


def test_a_scope_of_yesterday_is_refused_though_the_signature_fits(engine: EngineProcess, owner: Keys) -> None:
    for service, call in _BASES.items():
        answer = Signer(owner, service, scope_day="20200101").sign(call).send(port_of(engine))
        assert answer.status in (400, 401, 403)
        assert answer.code in _CODES[service]


def test_a_scope_of_no_service_is_refused(engine: EngineProcess, owner: Keys) -> None:
    """Signed with the printed keys all the same: there is nobody whom it could be for."""
    answer = Signer(owner, "nothing").sign(Request("GET")).send(port_of(engine))
    assert answer.status >= 400


def test_a_header_and_a_query_do_not_sign_together(engine: EngineProcess, owner: Keys) -> None:
    both = Signer(owner, "s3").sign(Signer(owner, "s3").presign(_GET))
    assert both.send(port_of(engine)).status in (400, 403)


def test_a_signature_of_one_key_is_none_of_another(engine: EngineProcess, owner: Keys) -> None:
    engine.client("iam").create_user(UserName="signer")
    other = Keys.told(engine.client("iam").create_access_key(UserName="signer")["AccessKey"])
    signed = Signer(other, "ecs").sign(_LIST)
    assert signed.send(port_of(engine)).status == 200
    answer = _authorization(signed, other.id, owner.id).send(port_of(engine))
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")

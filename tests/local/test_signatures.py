"""What is signed with the printed keys is carried out, whoever signs it and however oddly; anything else is refused."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED as NOT_SIGNED

from tests.local.foreign_clients import client_with, error_of, fetch
from tests.local.raw_requests import Keys, Request, Signer
from tests.local.strangers import port_of

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

_STS, _IAM, _EC2 = "2011-06-15", "2010-05-08", "2016-11-15"
_BUCKET = "signed"
FOREIGN = Keys("AKIAFOREIGNFOREIGN00", "somebody else's secret")

ODD_KEYS = [
    "plain",
    "two words",
    "three   blanks",
    "a+b",
    "a%20b",
    "100%",
    "%2F",
    "\u00fcml\u00e4ut/\u65e5\u672c",
    "a//b",
    "a///",
    "~home",
    "(1)*'!",
    "a:b@c=d&e",
    "a?b#c",
    "a;b,c$",
    "'\"<>[]{}|^`\\",
    "x=1&y",
    ".hidden",
    "\N{GRINNING FACE}",
]
"""Dots between slashes are not among them: no URL keeps them apart from the directories they name."""


@pytest.fixture(scope="module")
def owner(engine: EngineProcess) -> Keys:
    return Keys.printed(engine.exports)


@pytest.fixture(scope="module")
def bucket(engine: EngineProcess) -> str:
    engine.client("s3").create_bucket(Bucket=_BUCKET)
    engine.client("s3").put_object(Bucket=_BUCKET, Key="a b+c", Body=b"content")
    return _BUCKET


# What boto3 signs


_CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JSON": ("ecs", "list_clusters", {}),
    "JSON with text beyond ASCII": ("ssm", "put_parameter", {"Name": "/\u00fc", "Value": "\u65e5", "Type": "String"}),
    "a secret": ("secretsmanager", "create_secret", {"Name": "a/b+c", "SecretString": "s  s"}),
    "logs": ("logs", "describe_log_groups", {}),
    "builds": ("codebuild", "list_projects", {}),
    "an image's repository": ("ecr", "describe_repositories", {}),
    "a password for images": ("ecr", "get_authorization_token", {}),
    "a form": ("sts", "get_caller_identity", {}),
    "a form with a global scope": ("iam", "list_users", {}),
    "EC2's form": ("ec2", "describe_subnets", {"Filters": [{"Name": "tag:a b", "Values": ["+", "\u00fc"]}]}),
    "REST": ("efs", "describe_file_systems", {"MaxItems": 10}),
    "REST with an ARN in the path": (
        "efs",
        "list_tags_for_resource",
        {"ResourceId": "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-0123456789abcdef0"},
    ),
    "REST with an ARN encoded in the path": (
        "lambda",
        "list_tags",
        {"Resource": "arn:aws:lambda:us-east-1:123456789012:function:none"},
    ),
    "REST with a query": ("lambda", "list_functions", {"MaxItems": 5}),
    "REST with blanks in the path": ("batch", "list_tags_for_resource", {"resourceArn": "arn:aws:batch:a b+c%20d"}),
    "a service that the engine does not name": ("dynamodb", "list_tables", {}),
    "a service of two protocols": ("sqs", "list_queues", {"QueueNamePrefix": "a"}),
    "queues of messages": ("sns", "list_topics", {}),
    "stacks": ("cloudformation", "list_stacks", {}),
    "domains, whose scope is global": ("route53", "list_hosted_zones", {}),
}
_NO_SUCH_THING = {
    "REST with an ARN in the path": "404",
    "REST with an ARN encoded in the path": "ResourceNotFoundException",
}
"""What the service itself says, once the signature has passed."""


@pytest.mark.parametrize("what", _CALLS)
def test_what_boto3_signs_passes(engine: EngineProcess, what: str) -> None:
    service, operation, parameters = _CALLS[what]
    call = getattr(engine.client(service), operation)
    if what in _NO_SUCH_THING:
        assert error_of(call, **parameters) == _NO_SUCH_THING[what]
    else:
        assert call(**parameters)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("service", ["ecs", "ssm", "sts", "iam", "ec2", "s3", "efs", "lambda", "dynamodb", "sqs"])
def test_a_client_with_a_wrong_secret_reads_the_error_of_its_service(
    engine: EngineProcess, owner: Keys, service: str
) -> None:
    operations = {
        "ecs": "list_clusters",
        "ssm": "describe_parameters",
        "sts": "get_caller_identity",
        "iam": "list_users",
        "ec2": "describe_subnets",
        "s3": "list_buckets",
        "efs": "describe_file_systems",
        "lambda": "list_functions",
        "dynamodb": "list_tables",
        "sqs": "list_queues",
    }
    told = {"sts": "SignatureDoesNotMatch", "iam": "SignatureDoesNotMatch", "s3": "SignatureDoesNotMatch"}
    told["ec2"] = "AuthFailure"
    client = client_with(engine, service, Keys(owner.id, "a guess"))
    assert error_of(getattr(client, operations[service])) == told.get(service, "InvalidSignatureException")
    told = {"sts": "InvalidClientTokenId", "iam": "InvalidClientTokenId", "s3": "InvalidAccessKeyId"}
    told["ec2"] = "AuthFailure"
    client = client_with(engine, service, FOREIGN)
    assert error_of(getattr(client, operations[service])) == told.get(service, "UnrecognizedClientException")


def test_an_anonymous_client_is_refused(engine: EngineProcess, bucket: str) -> None:
    s3 = client_with(engine, "s3", FOREIGN, signature_version=NOT_SIGNED)
    ecs = client_with(engine, "ecs", FOREIGN, signature_version=NOT_SIGNED)
    assert error_of(s3.get_object, Bucket=bucket, Key="a b+c") == "AccessDenied"
    assert error_of(s3.put_object, Bucket=bucket, Key="new", Body=b"x") == "AccessDenied"
    assert error_of(ecs.list_clusters) == "MissingAuthenticationTokenException"


# S3


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_object_of_any_name_is_put_and_got(engine: EngineProcess, bucket: str, key: str) -> None:
    for style in ("path", "auto"):
        s3 = engine.client("s3", s3={"addressing_style": style})
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode(), style
        assert key in [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]], style
        s3.copy_object(Bucket=bucket, Key=key + ".copy", CopySource={"Bucket": bucket, "Key": key})
        assert s3.head_object(Bucket=bucket, Key=key + ".copy")["ContentLength"] == len(key.encode()), style
        s3.delete_object(Bucket=bucket, Key=key + ".copy")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_presigned_url_of_any_name_works(engine: EngineProcess, bucket: str, key: str) -> None:
    for version in ("s3v4", "s3"):
        s3 = engine.client("s3", signature_version=version)
        where = {"Bucket": bucket, "Key": f"presigned-by-{version}/{key}"}
        # Not by urllib, which calls every body a form: the older signature holds for no content type but its own.
        put = Request.of_url("PUT", s3.generate_presigned_url("put_object", Params=where), body=key.encode())
        assert put.send(port_of(engine)).status == 200, version
        assert fetch(s3.generate_presigned_url("get_object", Params=where)) == (200, key.encode()), version
        assert engine.client("s3").get_object(**where)["Body"].read() == key.encode(), version


def test_a_url_may_sign_what_the_answer_says_of_itself(engine: EngineProcess, bucket: str) -> None:
    parameters = {"Bucket": bucket, "Key": "a b+c", "ResponseContentType": "a/b; c=d+e"}
    for version in ("s3v4", "s3"):
        s3 = engine.client("s3", signature_version=version)
        assert fetch(s3.generate_presigned_url("get_object", Params=parameters)) == (200, b"content")


def test_a_url_may_sign_headers(engine: EngineProcess, bucket: str) -> None:
    s3 = engine.client("s3", signature_version="s3v4")
    parameters = {"Bucket": bucket, "Key": "described", "ContentType": "text/x", "Metadata": {"note": "a"}}
    url = s3.generate_presigned_url("put_object", Params=parameters)
    assert fetch(url, "PUT", b"x", content_type="text/x")[0] == 403
    assert fetch(url, "PUT", b"x", content_type="text/y", x_amz_meta_note="a")[0] == 403
    assert fetch(url, "PUT", b"x", content_type="text/x", x_amz_meta_note="a")[0] == 200
    assert s3.head_object(Bucket=bucket, Key="described")["Metadata"] == {"note": "a"}


def test_a_presigned_delete_and_a_presigned_list_work(engine: EngineProcess, bucket: str) -> None:
    s3 = engine.client("s3", signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="short-lived", Body=b"x")
    listing = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "Prefix": "short+ lived"})
    assert fetch(listing)[0] == 200
    where = {"Bucket": bucket, "Key": "short-lived"}
    assert fetch(s3.generate_presigned_url("delete_object", Params=where), "DELETE")[0] == 204
    assert error_of(s3.head_object, **where) == "404"


def test_a_url_that_has_expired_is_refused(engine: EngineProcess, owner: Keys, bucket: str) -> None:
    request = Request("GET", f"/{bucket}/a%20b%2Bc")
    assert Signer(owner, "s3", age_sec=30).presign(request, 60).send(port_of(engine)).status == 200
    answer = Signer(owner, "s3", age_sec=90).presign(request, 60).send(port_of(engine))
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_a_url_does_not_live_longer_than_a_week(engine: EngineProcess, owner: Keys, bucket: str) -> None:
    request = Request("GET", f"/{bucket}/a%20b%2Bc")
    answer = Signer(owner, "s3").presign(request, 8 * 24 * 3600).send(port_of(engine))
    assert (answer.status in (400, 403), answer.body.count(b"content")) == (True, 0)


def test_a_form_for_browsers_is_refused(engine: EngineProcess, bucket: str) -> None:
    """What it allows stands in a policy that the engine does not read."""
    post = engine.client("s3").generate_presigned_post(bucket, "posted")
    body = "&".join(f"{name}={value}" for name, value in post["fields"].items()).encode()
    status, answer = fetch(post["url"], "POST", body, content_type="multipart/form-data; boundary=x")
    assert status == 403
    assert b"AccessDenied" in answer


def test_metadata_keeps_its_names_and_words(engine: EngineProcess, bucket: str) -> None:
    s3 = engine.client("s3")
    metadata = {"spaced": "a  b   c", "dashed-name": "-", "under_score": "_", "long": "x" * 1000, "comma": "a, b,c"}
    s3.put_object(Bucket=bucket, Key="told", Body=b"", Metadata=metadata)
    assert set(s3.head_object(Bucket=bucket, Key="told")["Metadata"]) == set(metadata)


def test_large_and_streamed_bodies_pass(engine: EngineProcess, bucket: str) -> None:
    s3 = engine.client("s3")
    content = bytes(range(256)) * 4 * 1024 * 6
    s3.upload_fileobj(io.BytesIO(content), bucket, "whole", Config=TransferConfig(multipart_threshold=1 << 30))
    assert s3.get_object(Bucket=bucket, Key="whole")["Body"].read() == content
    parts = TransferConfig(multipart_threshold=1, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(content), bucket, "in parts", Config=parts)
    assert s3.get_object(Bucket=bucket, Key="in parts")["Body"].read() == content
    parts.use_threads = False
    target = io.BytesIO()
    s3.download_fileobj(bucket, "in parts", target, Config=parts)
    assert target.getvalue() == content


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_bodies_with_checksums_pass(engine: EngineProcess, bucket: str, algorithm: str) -> None:
    s3 = engine.client("s3")
    s3.put_object(Bucket=bucket, Key=algorithm, Body=b"x" * 100_000, ChecksumAlgorithm=algorithm)
    assert s3.get_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")["Body"].read() == b"x" * 100_000


@pytest.mark.parametrize("signed", [True, False], ids=["payload signed", "payload not signed"])
def test_the_payload_need_not_be_signed(engine: EngineProcess, bucket: str, signed: bool) -> None:
    s3 = engine.client("s3", s3={"payload_signing_enabled": signed}, request_checksum_calculation="when_required")
    s3.put_object(Bucket=bucket, Key="payload", Body=b"x" * 2_000_000)
    assert s3.head_object(Bucket=bucket, Key="payload")["ContentLength"] == 2_000_000


def test_the_older_signature_in_a_header_is_refused_as_s3_refuses_it_for_new_buckets(
    engine: EngineProcess, bucket: str
) -> None:
    older = engine.client("s3", signature_version="s3")
    assert error_of(older.get_object, Bucket=bucket, Key="a b+c") == "InvalidRequest"


@pytest.mark.parametrize("prefix", ["", "a", "a b+c", "a/", "\u00fc", "%20", "&x=y", "~(", "  ", "+"])
def test_lists_with_odd_parameters_pass(engine: EngineProcess, bucket: str, prefix: str) -> None:
    s3 = engine.client("s3")
    for delimiter in ("/", " ", "+", "%", "&"):
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter=delimiter, StartAfter=" +\u00e9")
        assert answer.get("Prefix", "") == prefix
    s3.list_object_versions(Bucket=bucket, Prefix=prefix)


def test_parameters_without_a_value_pass(engine: EngineProcess, bucket: str) -> None:
    s3 = engine.client("s3")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a b", "Value": "+"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a b", "Value": "+"}]
    s3.get_bucket_location(Bucket=bucket)
    s3.get_object_acl(Bucket=bucket, Key="a b+c")
    s3.put_object(Bucket=bucket, Key="gone", Body=b"")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "gone"}]})

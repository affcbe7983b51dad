"""Keys that the engine's own IAM and STS hand out open it too, for as long as they say."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.local.engine_process import ROLE, EngineProcess, container
from tests.local.foreign_clients import client_with, error_of, fetch
from tests.local.raw_requests import Keys, Request, Signer, ecs_call, form_call
from tests.local.strangers import port_of

if TYPE_CHECKING:
    from tests.local.raw_requests import Answer

_STS, _IAM, _EC2 = "2011-06-15", "2010-05-08", "2016-11-15"
_CLUSTERS = ecs_call("ListClusters")


@pytest.fixture(scope="module")
def owner(engine: EngineProcess) -> Keys:
    return Keys.printed(engine.exports)


@pytest.fixture(scope="module")
def bucket(engine: EngineProcess) -> str:
    engine.client("s3").create_bucket(Bucket="issued")
    engine.client("s3").put_object(Bucket="issued", Key="a b+c", Body=b"content")
    return "issued"


@pytest.fixture
def user(engine: EngineProcess) -> str:
    name = "user-" + uuid.uuid4().hex[:8]
    engine.client("iam").create_user(UserName=name)
    return name


def test_keys_of_a_user_work_until_they_are_deleted(engine: EngineProcess, user: str) -> None:
    iam = engine.client("iam")
    keys = Keys.told(iam.create_access_key(UserName=user)["AccessKey"])
    ecs = client_with(engine, "ecs", keys)
    assert ecs.list_clusters()["clusterArns"]
    assert error_of(client_with(engine, "ecs", replace(keys, secret="x")).list_clusters) == "InvalidSignatureException"
    iam.delete_access_key(UserName=user, AccessKeyId=keys.id)
    assert error_of(ecs.list_clusters) == "UnrecognizedClientException"
    assert error_of(client_with(engine, "sts", keys).get_caller_identity) == "InvalidClientTokenId"


def test_keys_of_a_user_rest_while_they_are_inactive(engine: EngineProcess, user: str) -> None:
    iam = engine.client("iam")
    keys = Keys.told(iam.create_access_key(UserName=user)["AccessKey"])
    s3 = client_with(engine, "s3", keys)
    s3.list_buckets()
    iam.update_access_key(UserName=user, AccessKeyId=keys.id, Status="Inactive")
    assert error_of(s3.list_buckets) == "InvalidAccessKeyId"
    iam.update_access_key(UserName=user, AccessKeyId=keys.id, Status="Active")
    s3.list_buckets()


def _assume(engine: EngineProcess, **more: Any) -> Keys:
    answer = engine.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="session", **more)
    return Keys.told(answer["Credentials"])


def _session(engine: EngineProcess) -> Keys:
    return Keys.told(engine.client("sts").get_session_token()["Credentials"])


def _federation(engine: EngineProcess) -> Keys:
    return Keys.told(engine.client("sts").get_federation_token(Name="federated")["Credentials"])


_HANDED_OUT = {"a role": _assume, "a session": _session, "a federation": _federation}


@pytest.mark.parametrize("kind", _HANDED_OUT)
@pytest.mark.parametrize("service", ["ecs", "sts", "s3", "ec2"])
def test_temporary_keys_work_with_their_token(engine: EngineProcess, kind: str, service: str) -> None:
    client = client_with(engine, service, _HANDED_OUT[kind](engine))
    calls = {"ecs": "list_clusters", "sts": "get_caller_identity", "s3": "list_buckets", "ec2": "describe_subnets"}
    getattr(client, calls[service])()


@pytest.mark.parametrize("kind", _HANDED_OUT)
@pytest.mark.parametrize("token", ["", "another's", "no token"])
def test_temporary_keys_do_not_work_without_their_token(engine: EngineProcess, kind: str, token: str) -> None:
    keys = _HANDED_OUT[kind](engine)
    other = _HANDED_OUT[kind](engine).token if token == "another's" else token
    assert other != keys.token
    client = client_with(engine, "ecs", replace(keys, token=other))
    assert error_of(client.list_clusters) == "UnrecognizedClientException"


def test_the_printed_keys_have_no_token(engine: EngineProcess, owner: Keys) -> None:
    client = client_with(engine, "ecs", replace(owner, token="one"))
    assert error_of(client.list_clusters) == "UnrecognizedClientException"


def test_a_role_with_temporary_keys_assumes_another(engine: EngineProcess) -> None:
    first = _assume(engine)
    answer = client_with(engine, "sts", first).assume_role(RoleArn=ROLE, RoleSessionName="chained")
    assert client_with(engine, "ecs", Keys.told(answer["Credentials"])).list_clusters()["clusterArns"]


def test_temporary_keys_sign_urls(engine: EngineProcess, bucket: str) -> None:
    keys = _assume(engine)
    for version in ("s3v4", "s3"):
        s3 = client_with(engine, "s3", keys, signature_version=version)
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b+c"})
        assert fetch(url) == (200, b"content")
        bare = "&".join(part for part in url.split("&") if "security-token" not in part.lower())
        assert fetch(bare)[0] in (400, 403)


@pytest.mark.parametrize("kind", _HANDED_OUT)
def test_temporary_keys_are_others_each_time(engine: EngineProcess, kind: str) -> None:
    """A stranger who has the program could else read them in it."""
    first, second = _HANDED_OUT[kind](engine), _HANDED_OUT[kind](engine)
    assert len({first.secret, second.secret}) == len({first.token, second.token}) == 2
    assert "EXAMPLE" not in first.id + first.secret


def test_temporary_keys_end_when_they_say(engine: EngineProcess) -> None:
    """moto lends them for as short a time as one asks, where AWS lends them for a quarter of an hour at least."""
    call = form_call("AssumeRole", _STS, RoleArn=ROLE, RoleSessionName="short", DurationSeconds="2")
    answer = Signer(Keys.printed(engine.exports), "sts").sign(call).send(port_of(engine))
    keys = Keys.told(_credentials(answer))
    ecs, s3 = client_with(engine, "ecs", keys), client_with(engine, "s3", keys)
    assert ecs.list_clusters()["clusterArns"]

    def probe() -> str:
        try:
            ecs.list_clusters()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        raise NotYet("the keys still work")

    assert wait_until(probe, deadline=10, what="the end of the keys") == "ExpiredTokenException"
    assert error_of(s3.list_buckets) == "ExpiredToken"


def _credentials(answer: Answer) -> dict[str, str]:
    text = answer.body.decode()
    assert answer.status == 200, text
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    return {name: text.partition(f"<{name}>")[2].partition("<")[0] for name in names}


# Other signers, and other libraries


def test_a_presigned_identity_proves_who_somebody_is_as_in_eks(engine: EngineProcess, owner: Keys) -> None:
    request = Request("GET", query="Action=GetCallerIdentity&Version=" + _STS).with_headers(x_k8s_aws_id="cluster")
    signed = Signer(owner, "sts").presign(request)
    answer = signed.send(port_of(engine))
    assert (answer.status, b"<Account>123456789012</Account>" in answer.body) == (200, True)
    other = replace(signed, headers=(("x-k8s-aws-id", "another"),)).send(port_of(engine))
    assert (other.status, other.code) == (403, "SignatureDoesNotMatch")


def test_boto3s_presigned_identity_passes(engine: EngineProcess) -> None:
    for method in ("GET", "POST"):
        url = engine.client("sts").generate_presigned_url("get_caller_identity", HttpMethod=method)
        status, body = fetch(url, method)
        assert (status, b"123456789012" in body) == (200, True)


def test_a_library_that_signs_for_itself_registers_and_runs_its_own_task(engine: EngineProcess, owner: Keys) -> None:
    definition = ecs_call(
        "RegisterTaskDefinition",
        family="raw",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container(script="exit 3")],
    )
    signer, port = Signer(owner, "ecs"), port_of(engine)
    arn = json.loads(signer.sign(definition).send(port).body)["taskDefinition"]["taskDefinitionArn"]
    run = ecs_call("RunTask", taskDefinition=arn, launchType="FARGATE", networkConfiguration=engine.network())
    task = json.loads(signer.sign(run).send(port).body)["tasks"][0]["taskArn"]

    def probe() -> int:
        call = signer.sign(ecs_call("DescribeTasks", tasks=[task]))
        told = json.loads(call.send(port).body)["tasks"][0]
        if told["lastStatus"] != "STOPPED":
            raise NotYet(told["lastStatus"])
        return int(told["containers"][0]["exitCode"])

    assert wait_until(probe, deadline=40, what="the end of the raw task") == 3


def test_an_open_engine_takes_any_credentials_and_none() -> None:
    engine = EngineProcess("--open")
    try:
        stranger = Keys("AKIAFOREIGNFOREIGN00", "somebody else's secret")
        for call in (
            _CLUSTERS,
            Signer(stranger, "ecs").sign(_CLUSTERS),
            Signer(stranger, "ecs", age_sec=9999).sign(_CLUSTERS),
        ):
            assert call.send(port_of(engine)).status == 200
        assert Signer(stranger, "s3").sign(Request("PUT", "/opened")).send(port_of(engine)).status == 200
        assert Request("PUT", "/opened/object", body=b"x").send(port_of(engine)).status == 200
        assert Request(path="/_engine/faults", body=b"{}").send(port_of(engine)).status == 403
    finally:
        assert engine.close() == 0

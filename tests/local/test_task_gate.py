"""What a task reaches of the engine: S3 objects behind presigned URLs, and nothing else."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.engine_credentials import EngineCredentials
from pytest_fargate_sandbox.local.issued_keys import IssuedKeys
from pytest_fargate_sandbox.local.signatures_v4 import Claim, SignatureRefused, read_claim, verify
from tests.local.engine_process import ROLE, container, container_states

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.engine_process import EngineProcess

_LOG = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": "/gate",
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "run",
        "awslogs-create-group": "true",
    },
}
_FETCH = """
import sys, urllib.request, urllib.error
method, url, *header = sys.argv[1:]
request = urllib.request.Request(url, method=method, data=b"sent" if method in ("PUT", "POST") else None)
for item in header:
    request.add_header(*item.split(": ", 1))
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


@pytest.fixture(scope="module")
def bucket(engine: EngineProcess) -> str:
    engine.client("s3").create_bucket(Bucket="gated")
    engine.client("s3").put_object(Bucket="gated", Key="dir/an object", Body=b"content")
    return "gated"


def _ask_from_inside(engine: EngineProcess, *requests: tuple[str, ...]) -> list[str]:
    """The answers to requests made by a task, a line each."""
    calls = "\n".join(shlex.join(["python3", "-c", _FETCH, *request]) for request in requests)
    definition = engine.register(container(script=calls, logConfiguration=_LOG), executionRoleArn=ROLE)
    arn = engine.launch(definition)
    task = engine.wait(arn, "STOPPED", deadline=60)
    assert container_states(task)["main"][1] == 0, task["stoppedReason"]
    return _log_of(engine, arn)


def _log_of(engine: EngineProcess, arn: str) -> list[str]:
    stream = {"logGroupName": "/gate", "logStreamName": f"run/main/{arn.rpartition('/')[2]}"}
    return [event["message"] for event in engine.client("logs").get_log_events(**stream, startFromHead=True)["events"]]


def _presign(
    engine: EngineProcess, operation: str, key: str = "dir/an object", signature_version: str = "s3v4", **more: Any
) -> str:
    s3 = engine.client("s3", signature_version=signature_version)
    url: str = s3.generate_presigned_url(operation, Params={"Bucket": "gated", "Key": key, **more})
    return url


def test_presigned_objects_can_be_read_and_written_from_inside(engine: EngineProcess, bucket: str) -> None:
    answers = _ask_from_inside(
        engine,
        ("GET", _presign(engine, "get_object")),
        ("HEAD", _presign(engine, "head_object")),
        ("PUT", _presign(engine, "put_object", "new")),
        ("GET", _presign(engine, "get_object", "missing")),
        ("GET", _presign(engine, "get_object", signature_version="s3")),
    )
    assert answers[0] == "200 content"
    assert answers[1].strip() == "200"
    assert answers[2].strip() == "200"
    assert answers[3].startswith("404")
    assert answers[-1] == "200 content"
    assert engine.client("s3").get_object(Bucket=bucket, Key="new")["Body"].read() == b"sent"


def test_nothing_else_passes(engine: EngineProcess, bucket: str) -> None:
    endpoint = engine.exports["AWS_ENDPOINT_URL"]
    good = _presign(engine, "get_object")
    requests = {
        "the control plane": ("POST", endpoint + "/", "X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListTasks"),
        "the faults": ("GET", endpoint + "/_engine/faults"),
        "moto's own pages": ("POST", endpoint + "/moto-api/reset"),
        "an object without a signature": ("GET", f"{endpoint}/{bucket}/dir/an%20object"),
        "another object under the signature": ("GET", good.replace("an%20object", "other")),
        "another method under the signature": ("PUT", good),
        "a changed signature": ("GET", good[:-1] + ("0" if good[-1] != "0" else "1")),
        "a delete": ("DELETE", _presign(engine, "delete_object")),
        "the list of a bucket": (
            "GET",
            engine.client("s3", signature_version="s3v4").generate_presigned_url(
                "list_objects_v2", Params={"Bucket": bucket}
            ),
        ),
        "another object under the older signature": (
            "GET",
            _presign(engine, "get_object", signature_version="s3").replace("an%20object", "other"),
        ),
        "a parameter that the older signature leaves out": (
            "GET",
            _presign(engine, "get_object", signature_version="s3") + "&attributes",
        ),
        "an object's ACL": ("GET", _presign(engine, "get_object_acl")),
        "a header that was not signed": ("PUT", _presign(engine, "put_object", "n"), "x-amz-copy-source: /gated/other"),
    }
    answers = _ask_from_inside(engine, *requests.values())
    answers = [answer for answer in answers if answer[:3].isdigit()]
    refused = dict(zip(requests, (answer[:3] for answer in answers), strict=True))
    assert refused == dict.fromkeys(requests, "403")
    assert engine.client("s3").head_object(Bucket=bucket, Key="dir/an object")


_HOLD_ON = """
import socket, sys, time
held = []
for _ in range(200):
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    connection.sendall(b"GET / HT")
    held.append(connection)
print("held", flush=True)
while True:
    time.sleep(0.5)
    for connection in held:
        connection.send(b"x")
"""


@pytest.mark.usefixtures("bucket")
def test_a_task_that_holds_all_the_connections_that_it_gets_keeps_no_other_out(engine: EngineProcess) -> None:
    port = engine.exports["AWS_ENDPOINT_URL"].rpartition(":")[2]
    script = shlex.join(["python3", "-c", _HOLD_ON, port])
    greedy = engine.launch(engine.register(container(script=script, logConfiguration=_LOG), executionRoleArn=ROLE))
    engine.wait(greedy, "RUNNING")
    wait_until(lambda: _log_of(engine, greedy) or None, deadline=20, what="a task that holds its connections")
    assert _ask_from_inside(engine, ("GET", _presign(engine, "get_object"))) == ["200 content"]
    engine.stop(greedy)


def _presigned_environ(credentials: EngineCredentials, **params: Any) -> dict[str, Any]:
    s3 = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:4000",
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        config=Config(signature_version="s3v4"),
    )
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b-1", "Key": "k", **params}, ExpiresIn=60)
    path, _, query = url.partition("http://127.0.0.1:4000")[2].partition("?")
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "RAW_URI": f"{path}?{query}",
        "QUERY_STRING": query,
        "HTTP_HOST": "127.0.0.1:4000",
    }


def _verify(environ: dict[str, Any], credentials: EngineCredentials, now: Callable[[], float] = time.time) -> Claim:
    claim = read_claim(environ)
    verify(environ, claim, IssuedKeys(credentials), now=now)
    return claim


def test_a_signature_of_ours_is_valid_with_all_it_signs() -> None:
    credentials = EngineCredentials()
    claim = _verify(_presigned_environ(credentials, ResponseContentType="a/b c+d"), credentials)
    assert dict(claim.query)["response-content-type"] == "a/b c+d"


def test_an_engine_refuses_what_another_signed() -> None:
    with pytest.raises(SignatureRefused, match="not this engine's"):
        _verify(_presigned_environ(EngineCredentials()), EngineCredentials())


def test_a_known_key_with_a_wrong_secret_is_refused() -> None:
    credentials = EngineCredentials()
    forged = EngineCredentials(access_key_id=credentials.access_key_id)
    with pytest.raises(SignatureRefused, match="the signature does not match"):
        _verify(_presigned_environ(forged), credentials)


def test_an_expired_url_is_refused() -> None:
    credentials = EngineCredentials()
    environ = _presigned_environ(credentials)
    with pytest.raises(SignatureRefused, match="expired"):
        _verify(environ, credentials, now=lambda: time.time() + 61)


def test_a_request_with_no_signature_at_all_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="not signed"):
        _verify({"REQUEST_METHOD": "GET", "QUERY_STRING": "", "RAW_URI": "/b/k"}, EngineCredentials())

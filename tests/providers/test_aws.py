"""The one place that talks to AWS: what it retries, what it says, and where it is."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials, connect
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError, Call, mapped
from pytest_fargate_sandbox.providers.aws.aws_patience import patience_for
from pytest_fargate_sandbox.providers.aws.log_groups import ensure_log_group
from tests.own_ca import OwnCa
from tests.sandbox.scripted_ecs import LOST, ScriptedEcs, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

THROTTLED = refusal("ThrottlingException", "Rate exceeded")
CLUSTERS = {"clusters": [{"clusterName": "c"}]}


@pytest.mark.parametrize(
    "trouble", [THROTTLED, LOST, refusal("ServerException", "oops")], ids=["throttled", "lost", "5xx"]
)
def test_a_call_is_made_again_where_that_can_help(
    script: Callable[..., ScriptedEcs], tmp_path: Path, trouble: Any
) -> None:
    ecs = script(DescribeClusters=[trouble, CLUSTERS])
    assert ecs.aws(tmp_path).call("ecs", "DescribeClusters")["clusters"]
    assert len(ecs.asked("DescribeClusters")) == 2


def test_a_certificate_that_is_not_trusted_is_told_with_where_to_name_its_ca(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = OwnCa().context(tmp_path).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, keys = f"https://127.0.0.1:{server.server_address[1]}", Credentials("AKIAEXAMPLE", "secret")
    try:
        with pytest.raises(AwsError, match=r"CERTIFICATE_VERIFY_FAILED(.|\n)*AWS_CA_BUNDLE"):
            Aws(region="us-east-1", endpoint_url=url, credentials=keys).call("ecs", "DescribeClusters")
    finally:
        server.shutdown()
        server.server_close()


def test_who_may_not_make_a_log_group_leaves_that_to_ecs_and_asks_once(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    logs = script(CreateLogGroup=[refusal("AccessDeniedException", "not authorized to perform: logs:CreateLogGroup")])
    for _ in range(2):
        ensure_log_group(logs.aws(tmp_path), "/my/group")
    assert logs.asked("CreateLogGroup") == [{"logGroupName": "/my/group"}]


def test_who_calls_after_a_disconnect_is_connected_again(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    aws = script(DescribeClusters=[CLUSTERS, CLUSTERS]).aws(tmp_path)
    aws.call("ecs", "DescribeClusters")
    before = aws.client("ecs")
    aws.disconnect()
    assert aws.call("ecs", "DescribeClusters")["clusters"]
    assert aws.client("ecs") is not before


def test_what_lasts_is_given_up(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    ecs = script(StopTask=[THROTTLED])
    began = time.monotonic()
    with pytest.raises(AwsError) as caught:
        ecs.aws(tmp_path).call("ecs", "StopTask", task="t")
    assert time.monotonic() - began < patience_for("StopTask").total
    assert caught.value.transient
    assert (caught.value.service, caught.value.operation, caught.value.code) == (
        "ecs",
        "StopTask",
        "ThrottlingException",
    )
    assert len(ecs.asked("StopTask")) > 1


def test_an_endpoint_that_takes_connections_and_never_answers_ends_a_call_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        aws = Aws(region="us-east-1", endpoint_url=url, credentials=Credentials("a", "b"), notes=tmp_path)
        began = time.monotonic()
        with pytest.raises(AwsError, match="can it be reached") as caught:
            aws.call("ecs", "StopTask", task="t")
        assert caught.value.lost_answer
        assert time.monotonic() - began < patience_for("StopTask").total


def test_no_call_may_last_longer_than_it_says() -> None:
    """Whatever the operation: an attempt that the rule allows ends within the total, or it is the only one."""
    for operation in ("DescribeClusters", "StopTask", "RegisterTaskDefinition", "RunTask", "PutObject"):
        patience = patience_for(operation)
        assert patience.total == 0 or patience.allows(0)
        assert not patience.allows(patience.total - patience.connect - patience.read + 0.1)


def test_a_refusal_is_told_at_once(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    ecs = script(
        DescribeClusters=[refusal("AccessDeniedException", "not authorized to perform: ecs:DescribeClusters on x")]
    )
    with pytest.raises(AwsError, match="lack the IAM action ecs:DescribeClusters"):
        ecs.aws(tmp_path).call("ecs", "DescribeClusters")
    assert len(ecs.asked("DescribeClusters")) == 1


def test_a_wrong_parameter_is_one_of_our_errors(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    with pytest.raises(AwsError, match="wrong type"):
        script().aws(tmp_path).call("ecs", "DescribeClusters", clusters="c")


def test_an_error_travels_between_processes(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    ecs = script(DescribeClusters=[refusal("ClusterNotFoundException", "no")])
    with pytest.raises(AwsError) as caught:
        ecs.aws(tmp_path).call("ecs", "DescribeClusters")
    again = SandboxError.from_dict(caught.value.to_dict())
    assert isinstance(again, AwsError)
    assert (again.code, str(again)) == (caught.value.code, str(caught.value))


def test_every_error_of_botocore_becomes_one_of_ours() -> None:
    """Not one of them may come through: whoever calls us knows nothing of botocore."""
    import botocore.exceptions

    call = Call("ecs", "RunTask", "us-east-1", None, {})
    kinds = [
        each
        for each in vars(botocore.exceptions).values()
        if isinstance(each, type) and issubclass(each, botocore.exceptions.BotoCoreError)
    ]
    assert len(kinds) > 50
    for kind in kinds:
        error = kind.__new__(kind)
        Exception.__init__(error, "what it said")
        ours = mapped(error, call)
        assert isinstance(ours, AwsError)
        assert not (ours.transient and "Credential" in kind.__name__)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("NoCredentialsError", "AWS_PROFILE"),
        ("ProfileNotFound", "AWS_PROFILE"),
        ("TokenRetrievalError", "aws sso login"),
        ("NoRegionError", "AWS_REGION"),
        ("EndpointConnectionError", "can it be reached"),
        ("ReadTimeoutError", "can it be reached"),
    ],
)
def test_what_botocore_raises_before_any_answer_has_a_remedy(name: str, advice: str) -> None:
    import botocore.exceptions

    kind = getattr(botocore.exceptions, name)
    error = kind.__new__(kind)
    Exception.__init__(error, "what it said")
    assert advice in str(mapped(error, Call("ecs", "RunTask", "us-east-1", None, {})))


@pytest.mark.parametrize("url", ["http://[::1", "http://here:port", "http://:80", "https://here:99999"])
@pytest.mark.parametrize("said_by", ["configuration", "environment"])
def test_what_is_no_address_is_one_of_our_errors(url: str, said_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if said_by == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    said = url if said_by == "configuration" else None
    aws = connect(region="eu-west-1", endpoint_url=said, credentials=Credentials("key", "secret"))
    with pytest.raises(AwsError) as told:
        aws.call("ecs", "ListTasks")
    assert url in str(told.value)
    assert "AWS_ENDPOINT_URL" in str(told.value)


def test_the_same_place_is_connected_to_once() -> None:
    place = {"region": "eu-west-1", "endpoint_url": "http://127.0.0.1:1", "credentials": Credentials("a", "b")}
    assert connect(**place) is connect(**place)  # type: ignore[arg-type]
    assert connect(**{**place, "region": "eu-west-2"}) is not connect(**place)  # type: ignore[arg-type]


def test_a_region_is_found_where_people_write_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert Aws(region=None, endpoint_url=None, credentials=None).region == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert Aws(region=None, endpoint_url=None, credentials=None).region == "eu-south-1"
    assert Aws(region="us-west-1", endpoint_url=None, credentials=None).region == "us-west-1"


def test_notes_on_an_account_say_nothing_about_it(tmp_path: Path) -> None:
    aws = Aws(region="r", endpoint_url="http://e", credentials=Credentials("AKIASECRET", "x"), notes=tmp_path)
    notes = aws.notes("topic")
    assert notes.is_dir()
    assert notes.stat().st_mode & 0o777 == 0o700
    assert "AKIA" not in str(notes)
    assert aws.twin().notes("topic") == notes
    assert "x" not in repr(Credentials("A", "x"))


def test_aws_is_loaded_at_the_first_call_and_not_before() -> None:
    code = """
import sys
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="c", ssh_sidecar=SshSidecarConfig(exec_server_port=1))
EcsFargateSandbox(cfg, task_id="t", run_id="r")
sys.exit(str(sorted({"botocore", "boto3", "paramiko", "moto"} & set(sys.modules)) or ""))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert not done.stderr.strip("[]\n"), done.stderr


def test_where_it_answers_is_told_even_if_only_the_environment_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(region="us-east-1", endpoint_url=None, credentials=Credentials("AKIAEXAMPLE", "secret"))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert aws.answers_at is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert aws.answers_at == "http://127.0.0.1:4566"


def test_an_engine_here_is_asked_whatever_the_environment_says_of_proxies_and_profiles(
    script: Callable[..., ScriptedEcs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[no profile\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    engine = script(DescribeClusters=[CLUSTERS]).aws(tmp_path, obituary=lambda: "")
    assert engine.call("ecs", "DescribeClusters")["clusters"]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_presigned_url_is_of_todays_form_at_the_regions_own_host(region: str) -> None:
    aws = Aws(region=region, endpoint_url=None, credentials=Credentials("AKIAEXAMPLE", "secret"))
    url = aws.presigned("get_object", expires=60, Bucket="bench", Key="content")
    assert url.startswith(f"https://bench.s3.{region}.amazonaws.com/content?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url


def test_no_secret_of_a_call_stands_in_a_log(engine: EngineOfTests, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    role = {"RoleArn": "arn:aws:iam::123456789012:role/somebody", "RoleSessionName": "logged"}
    given = engine.aws.call("sts", "AssumeRole", **role)["Credentials"]
    signature = engine.aws.presigned("get_object", expires=9, Bucket="b", Key="k").rpartition("=")[2]
    logging.getLogger("botocore.parsers").debug(
        "Response body:\n%s", rb'{"TokenValue": "t0k\"en-of a session", "x": 1}'
    )
    assert caplog.text.count("(a secret)") >= 4
    assert given["AccessKeyId"] in caplog.text
    assert not [secret for secret in (given["SecretAccessKey"], given["SessionToken"], signature, "t0k", "en-of")
                if secret in caplog.text]  # fmt: skip

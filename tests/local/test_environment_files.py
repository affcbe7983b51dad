"""Variables from files in S3, as Fargate reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.local.engine_process import ROLE, container

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

_LOG = {
    "awslogs-group": "of-files", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
    "awslogs-create-group": "true",
}  # fmt: skip
_TELL = 'for name in A B C D E; do eval value=\\$$name; echo "$name=[$value]"; done'


@pytest.fixture
def bucket(engine: EngineProcess) -> str:
    s3 = engine.client("s3")
    s3.create_bucket(Bucket="variables")
    first = '# a comment\nA=of the first\nB= "quoted and spaced" \n\nno variable\nC=of the first\n'
    s3.put_object(Bucket="variables", Key="first.env", Body=first.encode())
    s3.put_object(Bucket="variables", Key="deep/second.env", Body=b"C=of the second\nD=of the second=2\nE=x")
    return "arn:aws:s3:::variables/"


def _register(engine: EngineProcess, *files: str, **fields: Any) -> str:
    return engine.register(
        container(
            script=_TELL,
            environment=[{"name": "A", "value": "of the definition"}],
            environmentFiles=[{"value": file, "type": "s3"} for file in files],
            logConfiguration={"logDriver": "awslogs", "options": _LOG},
        ),
        executionRoleArn=ROLE,
        **fields,
    )


def _said(engine: EngineProcess, arn: str) -> list[str]:
    task = engine.wait(arn, "STOPPED")
    assert task["containers"][0]["exitCode"] == 0
    stream = f"p/main/{arn.rpartition('/')[2]}"
    events = engine.client("logs").get_log_events(logGroupName="of-files", logStreamName=stream)["events"]
    return [event["message"] for event in events]


def test_the_definition_counts_first_then_the_files_in_their_order(engine: EngineProcess, bucket: str) -> None:
    arn = engine.launch(_register(engine, bucket + "first.env", bucket + "deep/second.env"))
    assert _said(engine, arn) == [
        "A=[of the definition]", 'B=[ "quoted and spaced" ]', "C=[of the first]", "D=[of the second=2]", "E=[x]",
    ]  # fmt: skip


def test_an_override_names_other_files(engine: EngineProcess, bucket: str) -> None:
    other = {"name": "main", "environmentFiles": [{"value": bucket + "deep/second.env", "type": "s3"}]}
    arn = engine.launch(_register(engine, bucket + "first.env"), overrides={"containerOverrides": [other]})
    assert _said(engine, arn)[1:3] == ["B=[]", "C=[of the second]"]


@pytest.mark.parametrize("file", ["variables/ghost.env", "no-such-bucket/first.env"])
@pytest.mark.usefixtures("bucket")
def test_a_file_that_is_not_there_stops_the_task(engine: EngineProcess, file: str) -> None:
    arn = engine.launch(_register(engine, f"arn:aws:s3:::{file}"))
    task = engine.wait(arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to download env files: ")

"""Who asks is the same for all sessions of a role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.place.task_owner import owner_of
from pytest_fargate_sandbox.providers.aws.aws import Aws

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

pytestmark = pytest.mark.needs("namespaces")

ROLE = "arn:aws:iam::123456789012:role/graders"


def test_two_sessions_of_a_role_share_notes_and_owner_and_a_key_that_lasts_is_not_asked_about(
    engine: EngineOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for session in ("monday", "tuesday"):
        keys = engine.aws.call("sts", "AssumeRole", RoleArn=ROLE, RoleSessionName=session)["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
        aws = Aws(region="us-east-1", endpoint_url=engine.engine.endpoint_url, credentials=None, notes=tmp_path)
        seen.append((aws.identity_hash, owner_of(EcsFargateConfig(cluster="bench"), aws)))
    assert seen[0] == seen[1]
    assert seen[0][1] == "arn:aws:sts::123456789012:assumed-role/graders"


def test_a_key_that_lasts_is_known_without_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    nobody = "http://127.0.0.1:9"
    aws = Aws(region="us-east-1", endpoint_url=nobody, credentials=None, notes=tmp_path)
    assert aws.identity_hash == Aws(region="us-east-1", endpoint_url=nobody, credentials=None).identity_hash

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.providers.images.sidecar_build import _tag

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.engine_of_tests import EngineOfTests


def test_what_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sidecar-image", "--region", "us-east-1"]) == 1
    assert "name the cluster that wants it (--cluster)" in capsys.readouterr().err
    assert main(["sidecar-image", "--region", "us-east-1", "--cluster", "bench"]) == 1
    assert "ecr_repository is not set" in capsys.readouterr().err


def test_an_unknown_key_of_the_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"ecr_repositry": "x"}')
    assert main(["sidecar-image", "--config", str(tmp_path / "config.json")]) == 1
    assert "did you mean 'ecr_repository'" in capsys.readouterr().err


def test_an_image_that_is_there_is_not_built_again(
    engine: EngineOfTests, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = engine.engine.credentials
    monkeypatch.setenv("AWS_ENDPOINT_URL", engine.engine.endpoint_url)
    monkeypatch.setenv("AWS_REGION", engine.engine.region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('tool.pytest_fargate_sandbox.ssm_config = "/of-all"')
    shared = '{"cluster": "c", "ecr_repository": "sidecars"}'
    engine.aws.call("ssm", "PutParameter", Name="/of-all", Value=shared, Type="String", Overwrite=True)
    tag = _tag(EcsFargateConfig())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
    engine.aws.call("ecr", "CreateRepository", repositoryName="sidecars")
    engine.aws.call("ecr", "PutImage", repositoryName="sidecars", imageManifest=json.dumps(manifest), imageTag=tag)
    builds = engine.count()["StartBuild"]

    assert main(["sidecar-image"]) == 0

    assert capsys.readouterr().out == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/sidecars:{tag}\n"
    assert engine.count()["StartBuild"] == builds

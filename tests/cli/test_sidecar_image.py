from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.providers.images.sidecar_build import _tag
from tests.local.engine_process import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProcess]:
    engine = EngineProcess(log=tmp_path / "log.jsonl")
    for name, value in engine.exports.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield engine
    assert engine.close() == 0


def test_what_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sidecar-image", "--region", "us-east-1"]) == 1
    assert "ecr_repository is not set" in capsys.readouterr().err


def test_an_unknown_key_of_the_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"ecr_repositry": "x"}')
    assert main(["sidecar-image", "--config", str(tmp_path / "config.json")]) == 1
    assert "did you mean 'ecr_repository'" in capsys.readouterr().err


def test_an_image_that_is_there_is_not_built_again(
    engine: EngineProcess, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.pytest_fargate_sandbox]\necr_repository = "sidecars"\n')
    tag = _tag(EcsFargateConfig())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
    ecr = engine.client("ecr")
    ecr.create_repository(repositoryName="sidecars")
    ecr.put_image(repositoryName="sidecars", imageManifest=json.dumps(manifest), imageTag=tag)

    assert main(["sidecar-image"]) == 0

    assert capsys.readouterr().out == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/sidecars:{tag}\n"
    assert not [line for line in engine.log_lines("call") if line["service"] == "codebuild"]

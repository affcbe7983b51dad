"""``ImageBuilder`` on the cluster ``local`` takes a directory and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_fargate_sandbox import EcsFargateConfig, ImageBuilder
from pytest_fargate_sandbox.providers.images.content_tag import build_tag

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests


def test_an_image_of_the_local_cluster_is_found_without_an_account(engine: EngineOfTests, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
    tag = build_tag(tmp_path, "mine", "X86_64")
    engine.aws.call("ecr", "CreateRepository", repositoryName="of-this-test")
    engine.aws.call("ecr", "PutImage", repositoryName="of-this-test", imageManifest=json.dumps(manifest), imageTag=tag)
    cfg = EcsFargateConfig(cluster="local", environment_dir=str(tmp_path), ecr_repository="of-this-test")
    url = ImageBuilder.ensure_image_built(cfg=cfg, environment_name="mine")
    assert url == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/of-this-test:{tag}"

"""``fargate-sandbox sidecar-image``: build the sidecar's own image into your ECR, once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws

SUMMARY = "build the sidecar's image into your ECR, so that no package is installed when a task starts"

_FIELDS = {
    "cluster": "an ECS cluster; local: the embedded engine",
    "region": "the AWS region",
    "ecr_repository": "the repository to push to",
    "s3_bucket": "the bucket that the build's context goes through",
    "codebuild_project": "the CodeBuild project to build with",
    "codebuild_service_role": "the role to make a project with, where none is named",
    "cpu_architecture": "X86_64 or ARM64",
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_place_options(parser)
    parser.add_argument("--force", action="store_true", help="build it even if it is there")


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Where an image is built, and pushed to."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a mapping of the configuration as JSON, TOML or YAML (default: the table in ./pyproject.toml, if any)",
    )
    for field, meaning in _FIELDS.items():
        parser.add_argument("--" + field.replace("_", "-"), metavar="VALUE", help=meaning)


def run(arguments: Any) -> int:
    import pytest

    from pytest_fargate_sandbox.leaves.errors import SandboxError
    from pytest_fargate_sandbox.providers.images.sidecar_build import build_sidecar_image

    try:
        cfg, aws = place_of(arguments)
        print(build_sidecar_image(cfg, aws=aws, force=arguments.force))
    except (SandboxError, pytest.UsageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def place_of(arguments: Any) -> tuple[EcsFargateConfig, Aws]:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
    from pytest_fargate_sandbox.place.resolve_place import resolve_place
    from pytest_fargate_sandbox.providers.aws.aws import connect

    given = {field: value for field in _FIELDS if (value := getattr(arguments, field)) is not None}
    cfg = EcsFargateConfig.from_dict({**_configured(arguments.config), **given})
    if cfg.cluster != LOCAL_CLUSTER:  # no cluster is needed to build an image
        return cfg, connect(region=cfg.region, endpoint_url=cfg.endpoint_url)
    target = resolve_place(cfg)
    return target.cfg, target.aws


def _configured(file: Path | None) -> Mapping[str, Any]:
    from pytest_fargate_sandbox.plugin.config_files import settings_in

    path = file or Path("pyproject.toml")
    found = settings_in(path) if file or path.exists() else ()
    return {setting.key: setting.value for setting in found if not setting.key.startswith("run.")}

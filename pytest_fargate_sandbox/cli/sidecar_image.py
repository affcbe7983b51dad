"""``fargate-sandbox sidecar-image``: build the sidecar's own image into your ECR, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws

SUMMARY = "build the sidecar's image into your ECR, so that no package is installed when a task starts"

_FIELDS = {
    "cluster": "an ECS cluster; local, the default: the embedded engine",
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
        help="a mapping of the configuration as JSON, TOML or YAML; what it does not say is said as for pytest, by "
        "FARGATE_… and the table in pyproject.toml",
    )
    for field, meaning in _FIELDS.items():
        parser.add_argument("--" + field.replace("_", "-"), metavar="VALUE", help=meaning)


def run(arguments: Any) -> int:
    from pytest_fargate_sandbox.providers.images.sidecar_build import build_sidecar_image

    cfg, aws = place_of(arguments, or_local=False)
    print(build_sidecar_image(cfg, aws=aws, force=arguments.force))
    return 0


def place_of(arguments: Any, *, or_local: bool = True) -> tuple[EcsFargateConfig, Aws]:
    """Where pytest's own images would be, but for what is said here. Raises ``SandboxError``."""
    from pytest_fargate_sandbox.adapters.harness_settings import settings_of
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
    from pytest_fargate_sandbox.place.resolve_place import resolve_place
    from pytest_fargate_sandbox.plugin.settings.engine_choice import EngineChoice
    from pytest_fargate_sandbox.providers.aws.aws import connect

    given = {field: value for field in _FIELDS if (value := getattr(arguments, field)) is not None}
    settings = settings_of({**given, "config": arguments.config}, source="the option")
    cfg = EcsFargateConfig.from_dict({**settings.config, **given})
    if cfg.cluster != LOCAL_CLUSTER and not cfg.ssm_config:  # it need not exist to build an image for it
        return cfg, connect(region=cfg.region, endpoint_url=cfg.endpoint_url)
    if cfg.cluster == LOCAL_CLUSTER and not or_local:
        raise ConfigError("the embedded engine needs no image of a sidecar: name the cluster that wants it (--cluster)")
    EngineChoice(settings)
    target = resolve_place(cfg)
    return target.cfg, target.aws

"""A sidecar image of our own: the public Alpine with sshd and Python in it, built once into the user's ECR.

With it no ``apk add`` runs when a task starts, and a private subnet needs no way to the internet. ``fargate-sandbox
sidecar-image`` builds it; from then on it is found by its content.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, SIDECAR_REFERENCE
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, write_private
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.images import ecr
from pytest_fargate_sandbox.providers.images.content_tag import fitting_tag, get_ecr_image_tag
from pytest_fargate_sandbox.providers.images.image_builder import make_image

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_CONTEXT = Path(__file__).with_name("sidecar")
_NAME = "ssh-sidecar"
_THERE_SEC = 24 * 3600.0
_NOT_THERE_SEC = 600.0
"""How long an answer of ECR is believed: that it is there for a day, that it is not for as long as a build may take."""


def build_sidecar_image(cfg: EcsFargateConfig, *, aws: Aws, force: bool = False) -> str:
    """Build it, unless ECR has this content already; its url."""
    tag = _tag(cfg)
    built = make_image(cfg, tag, lambda place: place.request(context=place.upload(_CONTEXT, tag)), force=force, aws=aws)
    _remember(cfg, aws, built)
    return built


def sidecar_reference(cfg: EcsFargateConfig, aws: Aws) -> str:
    """The image of the sidecar: the configured one, our own where it was built, else the reserved reference.

    ECR is asked once for a day and a machine.
    """
    if cfg.ssh_sidecar is not None and cfg.ssh_sidecar.image:
        return cfg.ssh_sidecar.image
    if cfg.cluster == LOCAL_CLUSTER or not cfg.ecr_repository:
        return SIDECAR_REFERENCE
    known = _remembered(cfg, aws)
    return (_looked_up(cfg, aws) if known is None else known) or SIDECAR_REFERENCE


def _looked_up(cfg: EcsFargateConfig, aws: Aws) -> str:
    repository, tag = ecr.EcrRepository.parse(cfg.ecr_repository or ""), _tag(cfg)
    try:
        details = ecr.image_details(aws, repository, tag)
    except AwsError:
        details = None  # who may not look, or has no such repository yet, has not built it either
    found = "" if details is None else ecr.image_url(aws, repository, tag, details)
    _remember(cfg, aws, found)
    return found


def _tag(cfg: EcsFargateConfig) -> str:
    # Not build_tag: the modes of an installed package's files are the installer's, not the image's.
    return fitting_tag(get_ecr_image_tag(_CONTEXT, _NAME), f"-{cfg.cpu_architecture.lower()}")


def _file(cfg: EcsFargateConfig, aws: Aws) -> Path:
    repository = (cfg.ecr_repository or "").replace("/", "_")
    return cache_directory("images", aws.identity_hash) / f"{repository}.{_tag(cfg)}.sidecar.json"


def _remember(cfg: EcsFargateConfig, aws: Aws, image: str) -> None:
    write_private(_file(cfg, aws), json.dumps({"at": time.time(), "image": image}))


def _remembered(cfg: EcsFargateConfig, aws: Aws) -> str | None:
    try:
        known: dict[str, Any] = json.loads(_file(cfg, aws).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    age = time.time() - known["at"]
    return str(known["image"]) if age < (_THERE_SEC if known["image"] else _NOT_THERE_SEC) else None

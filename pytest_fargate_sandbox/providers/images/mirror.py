"""Public images, copied into ECR once for each digest, and run from there: no rate limit, and no slow registry."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.providers.images.content_tag import fitting_tag
from pytest_fargate_sandbox.providers.images.image_builder import make_image
from pytest_fargate_sandbox.providers.images.public_registry import Reference, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws


def mirrored(cfg: EcsFargateConfig, image: str, *, aws: Aws, shared_dir: Path | None = None) -> str:
    """Where to run ``image`` from: its copy in ECR with ``mirror_images``, else itself.

    A tag is copied again when it stands for another digest; where the registry does not tell digests, once for the tag.
    """
    if not cfg.mirror_images or not is_public(image):
        return image
    reference = Reference.parse(image)
    digest = digest_of(reference)
    source = Reference(reference.registry, reference.name, reference.tag, digest).pinned
    # An architecture's copy is its own: docker pulls only the one it is asked for.
    key = hashlib.sha256(f"{source} {cfg.cpu_architecture}".encode()).hexdigest()[:16]
    tag = fitting_tag(f"mirror-{reference.name.rpartition('/')[2]}-{reference.tag}", f"__{key}")
    return make_image(cfg, tag, lambda place: place.request(source_image=source), aws=aws, shared_dir=shared_dir)


def is_public(image: str) -> bool:
    """An ECR registry needs no copy, and the engine's own name for the host's root is no image at all."""
    host = image.partition("/")[0]
    private = ".dkr.ecr." in host or ".dkr-ecr." in host
    return bool(image) and not private and image != HOST_IMAGE

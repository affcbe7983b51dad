"""``ImageBuilder`` as users have it: for an account as it is named, and for the cluster ``local``, found or started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.providers.images import image_builder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws


class ImageBuilder(image_builder.ImageBuilder):
    __doc__ = image_builder.ImageBuilder.__doc__

    @staticmethod
    def ensure_image_built(
        *,
        cfg: EcsFargateConfig,
        environment_name: str,
        force_build: bool = False,
        aws: Aws | None = None,
        shared_dir: Path | None = None,
        on_build: Callable[[str], object] = lambda _build: None,
    ) -> str:
        if aws is None and isinstance(cfg, EcsFargateConfig) and cfg.cluster == LOCAL_CLUSTER:
            found = resolve_place(cfg)
            cfg, aws = found.cfg, found.aws
        return image_builder.ImageBuilder.ensure_image_built(
            cfg=cfg,
            environment_name=environment_name,
            force_build=force_build,
            aws=aws,
            shared_dir=shared_dir,
            on_build=on_build,
        )

    ensure_image_built.__doc__ = image_builder.ImageBuilder.ensure_image_built.__doc__

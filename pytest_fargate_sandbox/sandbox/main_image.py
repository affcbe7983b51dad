"""Which image the main container runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.image_reference import IMAGE_REFERENCE, is_image_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws


def resolve_image(
    cfg: EcsFargateConfig, aws: Aws, task_id: str, base: Mapping[str, Any] | None, *, force_build: bool = False
) -> str:
    """Built from ``environment_dir``; else the template, or the base task definition's own, or the mirror of it."""
    if cfg.environment_dir:
        from pytest_fargate_sandbox.providers.images.image_builder import ImageBuilder

        name = Path(cfg.environment_dir).resolve().name
        return ImageBuilder.ensure_image_built(cfg=cfg, environment_name=name, force_build=force_build, aws=aws)
    image = image_of_template(cfg.image_template, task_id) if cfg.image_template else _image_of_base(cfg, base)
    if not cfg.mirror_images:
        return image
    from pytest_fargate_sandbox.providers.images.mirror import mirrored

    return mirrored(cfg, image, aws=aws)


def _image_of_base(cfg: EcsFargateConfig, base: Mapping[str, Any] | None) -> str:
    for container in (base or {}).get("containerDefinitions") or []:
        if container["name"] == cfg.container_name:
            return str(container.get("image") or "")
    return ""


def image_of_template(template: str, task_id: str) -> str:
    """``template`` with ``{task_id}`` and ``{task_id_sanitized}`` filled in."""
    sanitized = re.sub(r"[^A-Za-z0-9._-]", "_", task_id)
    try:
        image = template.format(task_id=task_id, task_id_sanitized=sanitized)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"image_template={template!r}: only {{task_id}} and {{task_id_sanitized}} can stand in it ({error!r})",
            key="image_template",
            value=template,
            allowed="{task_id}, {task_id_sanitized}",
        ) from error
    if not is_image_reference(image):
        told = f"image_template={template!r} is {image!a} for this task: expected {IMAGE_REFERENCE}"
        raise ConfigError(f"{told}; {{task_id_sanitized}} has them only", key="image_template", value=template)
    return image

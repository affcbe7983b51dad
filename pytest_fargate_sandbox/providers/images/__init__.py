"""Images: built once for their content, cached in ECR, mirrored, and never built twice at the same time."""

from __future__ import annotations

from pytest_fargate_sandbox.providers.images.image_builder import ImageBuilder
from pytest_fargate_sandbox.providers.images.own_builds import builds_stopped

__all__ = ["ImageBuilder", "builds_stopped"]

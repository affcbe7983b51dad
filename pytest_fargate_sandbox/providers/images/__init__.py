"""Images: built once for their content, cached in ECR, mirrored, and never built twice at the same time."""

from __future__ import annotations

from pytest_fargate_sandbox.providers.images.builder import ImageBuilder, stop_own_builds

__all__ = ["ImageBuilder", "stop_own_builds"]

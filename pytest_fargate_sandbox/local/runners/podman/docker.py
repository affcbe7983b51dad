"""The runner of real images with docker: the same as ``local.podman``, with docker's command line."""

from __future__ import annotations

from pytest_fargate_sandbox.local.runners.podman.command_runner import DockerRunner, problem_of

__all__ = ["DockerRunner", "available"]


def available() -> str | None:
    """None where docker runs containers; else why not, and what to do about it."""
    return problem_of("docker")

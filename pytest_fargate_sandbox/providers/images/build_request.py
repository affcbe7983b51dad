"""One image to be made: what StartBuild is asked, the same from every machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.providers.images import buildspec

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_LEAST_TIMEOUT_MINUTES = 5  # CodeBuild's own
_ENVIRONMENTS = {
    "X86_64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0", "linux/amd64"),
    "ARM64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0", "linux/arm64"),
}


@dataclass(frozen=True)
class BuildRequest:
    """``image`` is the url to push to; the rest is where it comes from and how it is built."""

    image: str
    context: str = ""
    """``bucket/key`` of the archive; empty for a mirror."""
    source_image: str = ""
    architecture: str = "X86_64"
    compute_type: str = "BUILD_GENERAL1_MEDIUM"
    timeout_minutes: float = 30
    dockerhub_secret: str = ""

    @classmethod
    def of(cls, cfg: EcsFargateConfig, image: str, *, context: str = "", source_image: str = "") -> BuildRequest:
        return cls(
            image,
            context,
            source_image,
            cfg.cpu_architecture,
            cfg.codebuild_compute_type,
            cfg.codebuild_build_timeout,
            cfg.dockerhub_secret_arn or "",
        )

    def start_parameters(self, previous_build: str) -> dict[str, Any]:
        """The overrides of StartBuild. Everything is overridden, so that any project will do, a user's own as well.

        The token is the same for everyone who saw ``previous_build`` as the last one of this image: so many machines
        that ask at once get one build, and the next attempt after a failure is not answered with that failure.
        """
        kind, builder, platform = _ENVIRONMENTS[self.architecture]
        variables = {
            buildspec.IMAGE: self.image,
            buildspec.SOURCE_IMAGE: self.source_image,
            buildspec.DOCKERHUB_SECRET: self.dockerhub_secret,
            buildspec.PLATFORM: platform,
        }
        parameters: dict[str, Any] = {
            "buildspecOverride": buildspec.BUILDSPEC,
            "sourceTypeOverride": "S3" if self.context else "NO_SOURCE",
            "artifactsOverride": {"type": "NO_ARTIFACTS"},
            "environmentTypeOverride": kind,
            "imageOverride": builder,
            "computeTypeOverride": self.compute_type,
            "privilegedModeOverride": True,
            "timeoutInMinutesOverride": max(_LEAST_TIMEOUT_MINUTES, int(self.timeout_minutes)),
            "environmentVariablesOverride": [
                {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
            ],
        }
        if self.context:
            parameters["sourceLocationOverride"] = self.context
        return {**parameters, "idempotencyToken": _digest([parameters, previous_build])}

    def project(self, service_role: str) -> dict[str, Any]:
        """A project for builds like this one, named after what it holds."""
        kind, builder, _ = _ENVIRONMENTS[self.architecture]
        content = {
            "description": "Builds and mirrors images for pytest-fargate-sandbox",
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": kind,
                "image": builder,
                "computeType": self.compute_type,
                "privilegedMode": True,
            },
            "serviceRole": service_role,
        }
        # The source is given with each build; what stands here is a place that says so.
        source = {
            "type": "S3",
            "location": "fargate-sandbox/given-with-each-build.zip",
            "buildspec": buildspec.BUILDSPEC,
        }
        return {"name": f"fargate-sandbox-{_digest(content)[:12]}", "source": source, **content}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

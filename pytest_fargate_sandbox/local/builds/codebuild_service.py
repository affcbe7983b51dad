"""CodeBuild as far as images go: moto keeps the projects, we keep the builds, and they really build."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, cast

from moto.codebuild.exceptions import InvalidInputException, ResourceNotFoundException
from moto.codebuild.models import CodeBuildBackend
from moto.codebuild.responses import CodeBuildResponse
from moto.core.responses import ActionResult

from pytest_fargate_sandbox.local.builds.build import Build
from pytest_fargate_sandbox.local.builds.build_work import BuildWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.runners.runner_by_images import RunnerByImages

_TOKEN_LIFE_SEC = 300.0


class ImageBuildResponse(CodeBuildResponse):
    """The operations on builds; those on projects are moto's own."""

    @property
    def _backend(self) -> ImageBuildBackend:
        return cast(ImageBuildBackend, self.codebuild_backend)

    def start_build(self) -> ActionResult:
        request = {key: value for key, value in json.loads(self.body or "{}").items() if value is not None}
        return ActionResult({"build": self._backend.start(request).describe()})

    def batch_get_builds(self) -> ActionResult:
        ids = self._get_param("ids")
        builds = [build for each in ids if (build := self._backend.find(each))]
        found = {build.id for build in builds}
        return ActionResult(
            {"builds": [build.describe() for build in builds], "buildsNotFound": [i for i in ids if i not in found]}
        )

    def list_builds_for_project(self) -> ActionResult:
        name = self._get_param("projectName")
        self._backend.project(name)
        ids = [build.id for build in self._backend.builds if build.project == name]
        return ActionResult({"ids": ids if self._get_param("sortOrder") == "ASCENDING" else ids[::-1]})

    def list_builds(self) -> ActionResult:
        return ActionResult({"ids": [build.id for build in reversed(self._backend.builds)]})

    def stop_build(self) -> ActionResult:
        build = self._backend.find(self._get_param("id"))
        if build is None:
            raise ResourceNotFoundException(f"Build {self._get_param('id')} does not exist")
        build.request_stop()
        return ActionResult({"build": build.describe()})


class ImageBuildBackend(CodeBuildBackend):
    """One region's CodeBuild. ``runner`` is told what was built; if it is podman's or docker's, that one builds."""

    def __init__(self, region_name: str, account_id: str, runner: RunnerByImages) -> None:
        super().__init__(region_name, account_id)
        self.builds: list[Build] = []
        self._runner = runner
        self._tokens: dict[tuple[str, str], tuple[float, str, Build]] = {}
        self._lock = threading.Lock()

    @property
    def url_paths(self) -> dict[str, Any]:
        """moto looks for its routes beside the class's module; ours leads to our own answers."""
        return {"/$": ImageBuildResponse.dispatch}

    def project(self, name: str) -> dict[str, Any]:
        if name not in self.codebuild_projects:
            arn = f"arn:{self.partition}:codebuild:{self.region_name}:{self.account_id}:project/{name}"
            raise ResourceNotFoundException(f"Project cannot be found: {arn}")
        metadata: dict[str, Any] = self.codebuild_projects[name].project_metadata
        return metadata

    def find(self, build_id: str) -> Build | None:
        return next((build for build in self.builds if build.id == build_id), None)

    def start(self, request: Mapping[str, Any]) -> Build:
        """A new build; or the one that the same token with the same words started less than five minutes ago."""
        project = self.project(request["projectName"])
        with self._lock:
            key = (request["projectName"], request.get("idempotencyToken") or uuid.uuid4().hex)
            words = json.dumps(request, sort_keys=True)
            began, known_words, known = self._tokens.get(key, (0.0, "", None))
            if known is not None and time.monotonic() - began < _TOKEN_LIFE_SEC:
                if known_words != words:
                    raise InvalidInputException("Idempotency token was used with different parameters")
                return known
            build = Build(project, request, self.account_id, self.region_name, number=len(self.builds) + 1)
            self.builds.append(build)
            self._tokens[key] = (time.monotonic(), words, build)
        BuildWork(build, self._runner).start()
        return build

    def close(self) -> None:
        """Stop what is being built."""
        for build in self.builds:
            build.request_stop()

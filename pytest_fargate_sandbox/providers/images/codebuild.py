"""CodeBuild: builds are found, started, waited for, explained and stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves import progress_bar
from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.log_tail import stream_tail
from pytest_fargate_sandbox.providers.images import buildspec
from pytest_fargate_sandbox.providers.images.own_builds import go_on

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.images.build_request import BuildRequest

_LOG_LINES = 100
_MOST_BUILDS = 100
_ROLE_SETTLES_SEC = 20.0
"""A role that was made a moment ago is not yet one that CodeBuild may assume."""


@dataclass(frozen=True)
class Project:
    """Where builds run: a project of the user's by its name, or one of ours, made with ``service_role`` if missing."""

    name: str
    service_role: str = ""


class CodeBuild:
    """The builds of one project."""

    def __init__(self, aws: Aws, project: Project) -> None:
        self._aws = aws
        self._project = project

    def builds_of(self, image: str) -> list[dict[str, Any]]:
        """The builds that pushed, or will push, ``image``; the newest first."""
        try:
            answer = self._aws.call(
                "codebuild", "ListBuildsForProject", projectName=self._project.name, sortOrder="DESCENDING"
            )
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                return []
            raise
        ids = answer["ids"][:_MOST_BUILDS]
        builds = self._aws.call("codebuild", "BatchGetBuilds", ids=ids)["builds"] if ids else []
        ours = [build for build in builds if _variables(build).get(buildspec.IMAGE) == image]
        return sorted(ours, key=lambda build: ids.index(build["id"]))

    def start(self, request: BuildRequest, previous_build: str) -> dict[str, Any]:
        """The build; it may be one that another machine started with the same words a moment ago."""
        parameters = request.start_parameters(previous_build)
        try:
            return self._start(parameters)
        except AwsError as error:
            if error.code != "ResourceNotFoundException" or not self._project.service_role:
                raise
        self._make_project(request)
        return self._start(parameters)

    def wait(self, build_id: str, timeout_minutes: float) -> dict[str, Any]:
        """The build when it is over, however that was. Raises ImageBuildError when it takes too long."""
        try:
            with progress_bar.shown(f"image build {build_id.rpartition(':')[2][:8]}", in_bytes=False):
                return wait_until(
                    lambda: self._finished(build_id),
                    deadline=timeout_minutes * 60,
                    what=f"the end of build {build_id}",
                    first_pause=0.1,
                    longest_pause=2.0 if progress_bar.is_shown() else 10.0,
                    sleep=go_on,
                )
        except WaitTimeout as late:
            build = self._described(build_id)
            phase = str(build.get("currentPhase", ""))
            raise ImageBuildError(
                f"build {build_id} was still in phase {phase} after {timeout_minutes:g} minutes; "
                "raise codebuild_build_timeout if it is only slow",
                phase=phase,
                log_tail=self._log_tail(build),
                link=_link(build),
            ) from late

    def stop(self, build_id: str) -> None:
        self._aws.call("codebuild", "StopBuild", id=build_id)

    def failure(self, build: dict[str, Any], image: str) -> ImageBuildError:
        """Why ``build`` did not push ``image``: the phase that failed, what CodeBuild says of it, the log's end."""
        phase, reason = _failed_phase(build)
        link = _link(build)
        return ImageBuildError(
            f"an image could not be built: {build['buildStatus']} in phase {phase}"
            + (f": {reason}" if reason else "")
            + f"\nimage: {image}"
            + (f"\nthe whole log: {link}" if link else ""),
            phase=phase,
            log_tail=self._log_tail(build),
            link=link,
        )

    def _start(self, parameters: dict[str, Any]) -> dict[str, Any]:
        # The token makes a second try harmless, whatever became of the first:
        # https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html (idempotencyToken, five minutes)
        answer = self._aws.call("codebuild", "StartBuild", projectName=self._project.name, **parameters)
        build: dict[str, Any] = answer["build"]
        return build

    def _make_project(self, request: BuildRequest) -> None:
        project = request.project(self._project.service_role)

        def made() -> bool:
            try:
                self._aws.call("codebuild", "CreateProject", **project)
            except AwsError as error:
                if error.code == "InvalidInputException" and "AssumeRole" in error.reason:
                    raise NotYet(error.reason) from error
                if error.code != "ResourceAlreadyExistsException":
                    raise
            return True

        wait_until(
            made, deadline=_ROLE_SETTLES_SEC, what=f"making the CodeBuild project {self._project.name}", first_pause=1
        )

    def _finished(self, build_id: str) -> dict[str, Any] | None:
        build = self._described(build_id)
        if build["buildStatus"] != "IN_PROGRESS":
            return build
        if progress_bar.is_shown():
            lines = self._log_tail(build).strip().splitlines()
            progress_bar.moved(1, lines[-1] if lines else "")
        return None

    def _described(self, build_id: str) -> dict[str, Any]:
        builds = self._aws.call("codebuild", "BatchGetBuilds", ids=[build_id])["builds"]
        if not builds:
            raise ImageBuildError(f"CodeBuild knows no build {build_id} any more", phase="POLL")
        build: dict[str, Any] = builds[0]
        return build

    def _log_tail(self, build: dict[str, Any]) -> str:
        logs = build.get("logs") or {}
        if not logs.get("groupName") or not logs.get("streamName"):
            return ""
        try:
            return stream_tail(self._aws, logs["groupName"], logs["streamName"], _LOG_LINES)
        except AwsError as error:
            return f"(the log cannot be read: {error})"


def _variables(build: dict[str, Any]) -> dict[str, str]:
    environment = build.get("environment") or {}
    return {item["name"]: item.get("value", "") for item in environment.get("environmentVariables") or ()}


def _failed_phase(build: dict[str, Any]) -> tuple[str, str]:
    for phase in build.get("phases") or ():
        if phase.get("phaseStatus") not in (None, "SUCCEEDED"):
            contexts = [context.get("message", "") for context in phase.get("contexts") or ()]
            return phase["phaseType"], "; ".join(filter(None, contexts))
    return str(build.get("currentPhase", "")), ""


def _link(build: dict[str, Any]) -> str:
    return str((build.get("logs") or {}).get("deepLink", ""))

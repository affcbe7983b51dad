"""``ImageBuilder``: from a directory with a Dockerfile to the url of an image, built once for its content, ever."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.call_arguments import check_kind, check_name
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError, ImageBuildError, StartError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, Cause
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all, one_of
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.providers.aws.aws import connect
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.images import content_tag, context_upload, ecr, own_builds
from pytest_fargate_sandbox.providers.images.build_request import BuildRequest
from pytest_fargate_sandbox.providers.images.codebuild import CodeBuild, Project
from pytest_fargate_sandbox.providers.images.context_tree import checked_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_log = logging.getLogger("pytest_fargate_sandbox.images")

_STOPPED_ELSEWHERE_ATTEMPTS = 3
_LOOKED_UP_SEC = 600.0
"""How long an image that was found is taken to be there still, by all processes of this user."""

_LOCAL_REPOSITORY = "fargate-sandbox"
_LOCAL_BUCKET = "fargate-sandbox-builds"
_LOCAL_ROLE = "arn:aws:iam::123456789012:role/fargate-sandbox-codebuild"


class ImageBuilder:
    """Images from directories, through CodeBuild into ECR. Nothing is kept in it; every method stands alone."""

    get_ecr_image_tag = staticmethod(content_tag.get_ecr_image_tag)

    @staticmethod
    def image_exists_in_ecr(
        ecr_repository: str, tag: str, region: str | None = None, *, aws: Aws | None = None
    ) -> bool:
        """Whether the repository (its url or bare name) has an image with this tag."""
        check_name("ecr_repository", ecr_repository)
        check_name("tag", tag, blank=False)
        repository = ecr.EcrRepository.parse(ecr_repository)
        aws = aws or connect(region=repository.region or region)
        try:
            return ecr.image_details(aws, repository, tag) is not None
        except AwsError as error:
            if error.code == "RepositoryNotFoundException":
                return False
            raise

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
        """The url of the image of ``cfg.environment_dir``, built if ECR has none of this content.

        ``shared_dir``: a directory of a whole test run; what was built or failed there once holds for all of the run.
        Without it a failure is shared by those that wait at the same time. ``on_build`` is told of each build that is
        waited for, by its id. Raises ImageBuildError or ConfigError.
        """
        check_kind("cfg", cfg, EcsFargateConfig, "an EcsFargateConfig")
        check_name("environment_name", environment_name, blank=False)
        if not cfg.environment_dir:
            raise ConfigError("environment_dir is not set: name a directory with a Dockerfile", key="environment_dir")
        context = checked_context(cfg.environment_dir)
        tag = content_tag.build_tag(context, environment_name, cfg.cpu_architecture)

        def described(place: _Place) -> BuildRequest:
            return place.request(context=place.upload(context, tag))

        return make_image(cfg, tag, described, force=force_build, aws=aws, shared_dir=shared_dir, on_build=on_build)


def make_image(
    cfg: EcsFargateConfig,
    tag: str,
    describe: Callable[[_Place], BuildRequest],
    *,
    force: bool = False,
    aws: Aws | None = None,
    shared_dir: Path | None = None,
    on_build: Callable[[str], object] = lambda _build: None,
) -> str:
    """The url of the image ``tag``: looked up, or else made as ``describe`` says, once for everybody."""
    asked = time.time()
    aws = aws or connect(region=cfg.region, endpoint_url=cfg.endpoint_url)
    directory = (shared_dir or cache_directory()) / "images" / aws.identity_hash
    place = _Place(cfg, aws, tag, directory, on_build)

    def produce() -> str:
        try:
            return place.produce(describe, force=force)
        except AwsError as error:
            if error.gone:
                raise StartError(str(error), phase="image", cause=Cause.ENGINE_LOST, transient=True) from error
            raise ImageBuildError(
                f"an image could not be built: {error}\nimage: {tag}", phase=f"{error.service}:{error.operation}"
            ) from error

    if shared_dir:
        return str(once_for_all(directory, tag, produce))
    recently = asked if force else asked - _LOOKED_UP_SEC
    return str(once_for_all(directory, tag, produce, success_since=recently, failure_since=asked))


@dataclass(frozen=True)
class _Place:
    """Where one image is looked for, built and pushed to."""

    cfg: EcsFargateConfig
    aws: Aws
    tag: str
    directory: Path
    on_build: Callable[[str], object]

    def produce(self, describe: Callable[[_Place], BuildRequest], *, force: bool) -> str:
        found = None if force else self._found()
        if found is not None:
            _log.info("%s: is there", found)
            return found
        began = time.monotonic()
        with one_of(self.directory, "building", self.cfg.build_parallelism):
            built = self._built(describe(self), force=force)
        _log.info("%s: is built after %.1f s", built, time.monotonic() - began)
        return built

    def request(self, *, context: str = "", source_image: str = "") -> BuildRequest:
        repository = ecr.located(self.aws, self._repository, make=self._is_local)
        return BuildRequest.of(self.cfg, repository.url(self.tag), context=context, source_image=source_image)

    def upload(self, context: Path, tag: str) -> str:
        """The archive of ``context`` in S3, as ``bucket/key``."""
        bucket = self.cfg.s3_bucket or (_LOCAL_BUCKET if self._is_local else "")
        if not bucket:
            raise ConfigError("s3_bucket is not set: a build's context goes through a bucket", key="s3_bucket")
        if self._is_local:
            context_upload.ensure_bucket(self.aws, bucket)
        prefix = (self.cfg.s3_prefix or "fargate-sandbox").strip("/")
        return context_upload.upload_context(self.aws, bucket, f"{prefix}/contexts/{tag}.zip", context)

    def _found(self) -> str | None:
        try:
            details = ecr.image_details(self.aws, self._repository, self.tag)
        except AwsError as error:
            if self._is_local and error.code == "RepositoryNotFoundException":
                return None
            raise
        return None if details is None else ecr.image_url(self.aws, self._repository, self.tag, details)

    def _built(self, request: BuildRequest, *, force: bool) -> str:
        codebuild = CodeBuild(self.aws, self._project(request))
        for _ in range(_STOPPED_ELSEWHERE_ATTEMPTS):
            builds = codebuild.builds_of(request.image)
            running = next((build for build in builds if build["buildStatus"] == "IN_PROGRESS"), None)
            if running is not None:
                self.on_build(running["id"])
                build = codebuild.wait(running["id"], request.timeout_minutes)
            elif builds and not force and self._found():  # it was pushed while we looked
                return request.image
            else:
                build = self._started(codebuild, request, builds[0]["id"] if builds else "")
            if build["buildStatus"] == "SUCCEEDED":
                return request.image
            if build["buildStatus"] != "STOPPED":
                raise codebuild.failure(build, request.image)
        raise codebuild.failure(build, request.image)

    def _started(self, codebuild: CodeBuild, request: BuildRequest, previous: str) -> dict[str, Any]:
        own_builds.go_on()
        build = codebuild.start(request, previous)
        self.on_build(build["id"])
        with own_builds.own(build["id"], lambda: codebuild.stop(build["id"])):
            return codebuild.wait(build["id"], request.timeout_minutes)

    def _project(self, request: BuildRequest) -> Project:
        if self.cfg.codebuild_project:
            return Project(self.cfg.codebuild_project)
        role = self.cfg.codebuild_service_role or (_LOCAL_ROLE if self._is_local else "")
        if not role:
            raise ConfigError(
                "neither codebuild_project nor codebuild_service_role is set: name a CodeBuild project, "
                "or a role with which one can be made",
                key="codebuild_project",
            )
        return Project(request.project(role)["name"], role)

    @property
    def _repository(self) -> ecr.EcrRepository:
        name = self.cfg.ecr_repository or (_LOCAL_REPOSITORY if self._is_local else "")
        if not name:
            raise ConfigError("ecr_repository is not set: name the ECR repository for images", key="ecr_repository")
        return ecr.EcrRepository.parse(name)

    @property
    def _is_local(self) -> bool:
        return self.cfg.cluster == LOCAL_CLUSTER

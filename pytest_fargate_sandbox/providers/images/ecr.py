"""Repositories and tags in ECR: is the image there, and what is its url?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_URL = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+)/(?P<name>.+)"
)
_NAME = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")


@dataclass(frozen=True)
class EcrRepository:
    """A repository as the configuration names it: by its url, or by its bare name in the caller's own registry."""

    name: str
    registry: str = ""
    """``ACCOUNT.dkr.ecr.REGION.amazonaws.com``; empty for a bare name, until ECR has told."""
    region: str = ""

    @classmethod
    def parse(cls, text: str) -> EcrRepository:
        found = _URL.fullmatch(text)
        name = found["name"] if found else text
        if not _NAME.fullmatch(name) or len(name) > 256:
            raise ConfigError(
                f"ecr_repository={text!r}: expected ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME or NAME, without a tag, "
                "in lower-case letters, digits and . _ - /",
                key="ecr_repository",
                value=text,
                allowed="ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME or NAME",
            )
        return cls(name, found["registry"], found["region"]) if found else cls(name)

    @property
    def account(self) -> str:
        return self.registry.partition(".")[0]

    def url(self, tag: str) -> str:
        return f"{self.registry}/{self.name}:{tag}"


def image_details(aws: Aws, repository: EcrRepository, tag: str) -> dict[str, Any] | None:
    """What ECR knows of the image; None when it has no such tag. A missing repository is an ``AwsError``."""
    whose = {"registryId": repository.account} if repository.account else {}
    named = [{"imageTag": tag}]
    try:
        answer = aws.call("ecr", "DescribeImages", repositoryName=repository.name, imageIds=named, **whose)
    except AwsError as error:
        if error.code == "ImageNotFoundException":
            return None
        raise
    details: list[dict[str, Any]] = answer["imageDetails"]
    return details[0] if details else None


def is_in_ecr(repository: str) -> bool:
    return _URL.fullmatch(repository) is not None


def image_url(aws: Aws, repository: EcrRepository, tag: str, details: dict[str, Any]) -> str:
    """The url of an image that was just described: a bare repository's account comes with the description."""
    if repository.registry:
        return repository.url(tag)
    return EcrRepository(repository.name, _registry(details["registryId"], aws.region)).url(tag)


def located(aws: Aws, repository: EcrRepository, *, make: bool) -> EcrRepository:
    """The repository with its registry filled in; ``make`` makes one that is missing."""
    if repository.registry and not make:
        return repository
    try:
        answer = aws.call("ecr", "DescribeRepositories", repositoryNames=[repository.name])
        found = answer["repositories"][0]
    except AwsError as error:
        if error.code != "RepositoryNotFoundException" or not make:
            raise
        found = _made(aws, repository.name)
    return EcrRepository(repository.name, found["repositoryUri"].split("/", 1)[0], aws.region)


def _made(aws: Aws, name: str) -> dict[str, Any]:
    try:
        made: dict[str, Any] = aws.call("ecr", "CreateRepository", repositoryName=name)["repository"]
    except AwsError as error:
        if error.code != "RepositoryAlreadyExistsException":  # another process was quicker
            raise
        made = aws.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]
    return made


def _registry(account: str, region: str) -> str:
    return f"{account}.dkr.ecr.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")

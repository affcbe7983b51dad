"""What a tag stands for, asked once for a run: all that is launched of it is the same image."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.once_for_all import once_for_all
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.images.ecr import EcrRepository, image_details, is_in_ecr
from pytest_fargate_sandbox.providers.images.mirror import is_public
from pytest_fargate_sandbox.providers.images.public_registry import Reference, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws


def pinned(image: str, directory: Path, aws_in: Callable[[str], Aws]) -> str:
    """``image`` by its digest; as it is, where its registry does not tell.

    A registry of ECR is asked with the caller's own credentials, in its region: ``aws_in`` gives them. Any other one
    that takes an account is not asked. ``directory`` is what those share who want the same.
    """
    reference = Reference.parse(image)
    repository = f"{reference.registry}/{reference.name}"
    ask: Callable[[], str]
    if reference.digest:
        return image
    if is_in_ecr(repository):
        ask = partial(_digest_in_ecr, repository, reference.tag, aws_in)
    elif is_public(image):
        ask = partial(digest_of, reference)
    else:
        return image
    digest = once_for_all(directory, f"digest-{hashlib.sha256(image.encode()).hexdigest()[:16]}", ask)
    return Reference(reference.registry, reference.name, reference.tag, digest).pinned if digest else image


def _digest_in_ecr(name: str, tag: str, aws_in: Callable[[str], Aws]) -> str:
    """Nothing where it does not tell: whether the image can be pulled is found out by who launches it."""
    repository = EcrRepository.parse(name)
    try:
        details = image_details(aws_in(repository.region), repository, tag)
    except AwsError:
        return ""
    return str(details["imageDigest"]) if details else ""

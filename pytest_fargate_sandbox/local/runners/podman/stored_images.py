"""Which image a reference means here: one in the command's own store, or directories given with ``--image``."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE, SIDECAR_REFERENCE
from pytest_fargate_sandbox.local.runners.podman.command_line import CommandFailed
from pytest_fargate_sandbox.local.runners.runner_contract import CannotPull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand


_REGISTRY = re.compile(r"\w[\w.-]*(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?")
"""Or podman would load ``docker-archive:/FILE`` from this machine, and take ``--x.y/z`` for an option."""


class StoredImages:
    """What is here already, and what can be had."""

    def __init__(self, command: ContainerCommand, mapped: Mapping[str, tuple[str, ...]]) -> None:
        self._command = command
        self._mapped = mapped
        self._names: dict[str, str] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def pull(self, image: str) -> None:
        """Make sure that it is here; else CannotPull, in Fargate's words and with what to do."""
        if image == SIDECAR_REFERENCE:
            return
        if image in self._mapped or image == HOST_IMAGE:
            self._check_mapped(image)
            return
        with self._locks[image]:
            self._names[image] = self._here(image) or self._pulled(image)

    def words_for(self, image: str) -> list[str]:
        """How ``run`` is told the image."""
        if image in self._mapped:
            return ["--rootfs", f"{self._mapped[image][0]}:O"]
        return [self._names.get(image, image)]

    def _here(self, image: str) -> str | None:
        return next((name for name in {image: 0, full_reference(image): 0} if self._is_here(name)), None)

    def _is_here(self, name: str) -> bool:
        return self._command.succeeds("image", "inspect", "--format", "{{.Id}}", name)

    def _pulled(self, image: str) -> str:
        name = full_reference(image)
        try:
            self._command.run("pull", "--quiet", name, timeout=None)
        except CommandFailed as error:
            raise CannotPull(
                f"CannotPullContainerError: {self._command.program} can't pull {name}: {error}; "
                "check the reference, log in to its registry, or build it from a directory: `environment`"
            ) from error
        return name

    def _check_mapped(self, image: str) -> None:
        if image == HOST_IMAGE and image not in self._mapped:
            raise CannotPull(
                "CannotPullContainerError: the image 'host' is for the namespaces runner (--runner auto); "
                f"in {self._command.program} name a real one, such as python:3.12-slim"
            )
        if not self._command.is_podman or len(self._mapped[image]) > 1:
            raise CannotPull(
                f"CannotPullContainerError: {image} is mapped to directories with --image, "
                "which the namespaces runner takes, and podman where it is a single one"
            )


def full_reference(image: str) -> str:
    """``python:3.12`` means Docker Hub's library, as it does on Fargate; podman would ask which registry."""
    first, slash, _ = image.partition("/")
    if slash and (_REGISTRY.fullmatch(first) and ("." in first or ":" in first or first == "localhost")):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"

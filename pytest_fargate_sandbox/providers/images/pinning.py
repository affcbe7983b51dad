"""What a tag stands for, asked once for a run: all that is launched of it is the same image."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.once_for_all import once_for_all
from pytest_fargate_sandbox.providers.images.mirror import is_public
from pytest_fargate_sandbox.providers.images.public_registry import Reference, digest_of

if TYPE_CHECKING:
    from pathlib import Path


def pinned(image: str, directory: Path) -> str:
    """``image`` by its digest; as it is, where its registry does not tell, or takes an account.

    ``directory`` is what those share who want the same.
    """
    reference = Reference.parse(image)
    if reference.digest or not is_public(image):
        return image
    key = f"digest-{hashlib.sha256(image.encode()).hexdigest()[:16]}"
    digest = once_for_all(directory, key, lambda: digest_of(reference))
    return Reference(reference.registry, reference.name, reference.tag, digest).pinned if digest else image

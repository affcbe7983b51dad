"""What the name of an image is made of, whoever says it."""

from __future__ import annotations

IMAGE_REFERENCE = "an image's name, or a template of one, in ASCII and without blanks"


def is_image_reference(name: str) -> bool:
    """Whether it can be one: what no registry knows, a registry says."""
    return name.isascii() and name.isprintable() and bool(name) and " " not in name

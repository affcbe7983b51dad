"""What the name of an image is made of, whoever says it."""

from __future__ import annotations

IMAGE_REFERENCE = "an image's name, or a template of one, in ASCII and without blanks, of at most 512 characters"

_LONGEST = 512
"""A registry's names have 255 characters, a tag 128, a digest 71; a template may be longer than what becomes of it."""


def is_image_reference(name: str) -> bool:
    """Whether it can be one: what no registry knows, a registry says."""
    return name.isascii() and name.isprintable() and " " not in name and 0 < len(name) <= _LONGEST

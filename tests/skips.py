"""Which skips are no failure in CI."""

from __future__ import annotations

from typing import Final

ELSEWHERE: Final = "for machines that have it: "
"""What a skip begins with whose component is not to be had everywhere."""

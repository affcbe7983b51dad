"""What is new on a terminal since somebody last looked."""

from __future__ import annotations


class NewOutput:
    """Compares what stands there with what stood there."""

    def __init__(self) -> None:
        self._before: list[str] = []

    def since_last(self, contents: str, screen: str) -> tuple[bool, str]:
        """Whether lines were added, and those lines, or else the screen as it is."""
        lines, before = contents.split("\n"), self._before
        self._before = lines
        kept = before[:-1]  # the last one, a prompt as a rule, was still being written on
        if before and len(lines) > len(kept) and lines[: len(kept)] == kept and lines != before:
            first = len(kept)
            if lines[first] == before[-1]:
                first += 1
            return True, "\n".join(lines[first:])
        return False, screen

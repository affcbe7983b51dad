"""What a trial has to tell beside its reward: how long each phase took, of what it was made, what was odd."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk

MOST_LOG = 8 * 1024
"""Of the end of an output."""

MOST_OUTPUT = 16 * 1024 * 1024
"""So much of an output is listened to; whoever says more is not heard to the end."""


@dataclass
class TrialLog:
    """Plain values only: it travels from worker to controller, and into files."""

    phases: dict[str, float] = field(default_factory=dict)
    """Seconds."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Of tests, artifacts and the like; of a step's under ``STEP/…``."""
    images: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    """What crossed over."""
    crossed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The same, as it is found again where it was kept: of each step, or of the whole under ''."""
    notes: list[str] = field(default_factory=list)
    shared: bool = False
    """Whether a verdict comes out of the sandbox that the agent was in."""
    in_slots: bool = False
    """Whether it was tried in slots, and not in sandboxes of its own."""
    no_internet: str = ""
    """Why it was tried without any network, where it expects the internet."""
    rewards: dict[str, float] = field(default_factory=dict)
    cost_usd: float = 0.0
    """Of all its sandboxes, as ``records/costs.py`` has it."""
    output: str = ""
    """The end of what the last verifier said."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases[phase] = round(self.phases.get(phase, 0.0) + time.monotonic() - began, 3)

    def note(self, sentence: str) -> None:
        if sentence and sentence not in self.notes:
            self.notes.append(printable(sentence)[:2000])

    def without_internet(self, why: str) -> None:
        self.no_internet = why
        self.note(f"it ran without any network, where it expects the internet: {why}")

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "output"}


class Tail:
    """The end of an output, however long that is."""

    def __init__(self, most: int = MOST_LOG) -> None:
        self._most = most
        self._kept = bytearray()
        self._left_out = 0

    def __call__(self, chunk: OutputChunk | bytes) -> None:
        self._kept += bytes(chunk)
        if len(self._kept) > 2 * self._most:
            self._left_out += len(self._kept) - self._most
            del self._kept[: -self._most]

    def __str__(self) -> str:
        begin = max(0, len(self._kept) - self._most)
        left_out = self._left_out + begin
        text = printable(bytes(self._kept[begin:]).decode("utf-8", "replace"))
        return f"… ({left_out} bytes before)\n{text}" if left_out else text

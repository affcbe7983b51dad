"""Which attempts at tasks may be made in slots, and which verdicts count that come out of them.

Nobody is root in a slot, so that something may fail there which works in a sandbox of its own. What is not as with a
sound task is therefore tried again in such; and that doing nothing fails is believed where the solution does not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all
from pytest_fargate_sandbox.plugin.outcomes import infrastructure_error
from pytest_fargate_sandbox.tasks.task_places import agents_place
from pytest_fargate_sandbox.tasks.task_slot import NotInSlots, TaskSlot, fits_slots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder
    from pytest_fargate_sandbox.tasks.task_trial import Trial

_KINDS = ("oracle", "nop", "submission")
"""Adversaries are tried at their best, as root."""


class SlotsForTasks:
    """What one process knows of its tasks."""

    def __init__(self, directory: Callable[[], Path]) -> None:
        """``directory`` is the run's."""
        self._directory = directory
        self._solved: set[Path] = set()
        """Whose solution got the whole reward in a slot."""
        self._unfit: set[Path] = set()

    def may_have(self, folder: TaskFolder, kind: str) -> bool:
        """Raises ``TaskFolderError``."""
        if kind not in _KINDS or folder.path in self._unfit or not fits_slots(folder):
            return False
        if kind == "nop" and folder.path not in self._solved:
            return False
        return self._first_on_its_machine(folder) != str(folder.path)

    def _first_on_its_machine(self, folder: TaskFolder) -> str:
        """A machine that one task alone has would stand there for nothing: the first one of the run does without."""
        machine = repr(sorted(agents_place(folder).keys(0).items()))
        key = f"first-on-{hashlib.sha256(machine.encode()).hexdigest()[:16]}"
        return str(once_for_all(self._directory() / "once", key, lambda: str(folder.path)))

    def room(self, slot: Slot) -> TaskSlot:
        """Raises ``NotInSlots``."""
        image = slot.image
        key = f"left-open-{hashlib.sha256(image.encode()).hexdigest()[:16]}"
        found = once_for_all(self._directory() / "once", key, lambda: TaskSlot.left_open(slot))
        if found:
            raise NotInSlots(f"in {image} whoever is there may change {found}")
        return TaskSlot(slot)

    def tried(self, trial: Trial) -> Reward | str:
        """Its reward, or why a sandbox of its own decides. Raises what is trouble of the infrastructure's."""
        try:
            return trial.run()
        except SandboxError as error:
            if infrastructure_error(error) is not None:
                raise
            if isinstance(error, NotInSlots):
                self._unfit.add(trial.folder.path)
            return error.message.partition("\n")[0]

    def decides(self, folder: TaskFolder, kind: str, reward: Reward) -> bool:
        """Whether that reward in a slot is the verdict."""
        if kind == "oracle" and reward.is_full:
            self._solved.add(folder.path)
        decides = reward.is_full != (kind == "nop")
        if not decides and kind != "submission":  # whose failure says nothing of the task
            self._unfit.add(folder.path)
        return decides


SLOTS: pytest.StashKey[SlotsForTasks] = pytest.StashKey()
"""Where that was asked for."""

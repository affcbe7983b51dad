"""The tests of a task: that its solution gets the whole reward, and that nobody else gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.config import nearest
from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.plugin import marker, options
from pytest_fargate_sandbox.plugin.task_attempts import ATTEMPT, Attempt
from pytest_fargate_sandbox.tasks.actors import Nop, Oracle
from pytest_fargate_sandbox.tasks.adversaries import ADVERSARIES
from pytest_fargate_sandbox.tasks.task_reading import read_task
from pytest_fargate_sandbox.tasks.task_trial import Trial

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder
    from pytest_fargate_sandbox.tasks.task_trial import Actor


_NOBODY = "none"


class TaskWarning(pytest.PytestWarning):
    """Something in a task's file that nobody reads, or that means something else than it seems to."""


class TaskFile(pytest.Module):
    """A ``task.toml`` or ``task.yaml``: a module without code, for fixtures of that scope."""

    obj = None

    def collect(self) -> Iterator[pytest.Item]:
        folder = self._folder()
        run = self.config.stash[options.SETTINGS].run
        for actor in (Oracle(), Nop()):
            for number in range(1, run["repeat"] + 1):
                yield TaskItem.of(self, folder, actor, number if run["repeat"] > 1 else None)
        for name in run["adversaries"]:
            if name != _NOBODY:
                yield TaskItem.of(self, folder, ADVERSARIES[name])

    def _folder(self) -> TaskFolder | TaskFolderError:
        """One that cannot be read is told by its tests, so that all others run."""
        try:
            folder = read_task(self.path)
            for warning in folder.warnings:
                self.warn(TaskWarning(warning))
        except TaskFolderError as error:
            return error
        except TaskWarning as warning:  # where warnings are errors
            return TaskFolderError(str(warning), path=str(self.path))
        return folder


def _attempt(request: pytest.FixtureRequest, fargate_sandbox_factory: Callable[..., Sandbox]) -> None:
    """What all of these tests run: pytest gives it fixtures as it gives them to any."""
    request.node.attempt(fargate_sandbox_factory)


class TaskItem(pytest.Function):
    """One attempt at a task by one actor."""

    folder: TaskFolder | TaskFolderError
    actor: Actor

    number: int = 1

    @classmethod
    def of(
        cls, parent: TaskFile, folder: TaskFolder | TaskFolderError, actor: Actor, number: int | None = None
    ) -> TaskItem:
        """``number``: which of several tries by the same actor."""
        name = actor.name if number is None else f"{actor.name}[{number}]"
        item: TaskItem = cls.from_parent(parent, name=name, callobj=_attempt)
        item.folder, item.actor, item.number = folder, actor, number or 1
        item.add_marker("adversary" if actor.name in ADVERSARIES else actor.name)
        if isinstance(folder, TaskFolderError):
            marker.note_mistake(item, folder)
        elif folder.obstacles:
            item.add_marker(pytest.mark.skip(reason=f"{folder.name}: {'; '.join(folder.obstacles)}"))
        return item

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.path, 0, f"{self.path.parent.name}::{self.name}"

    def attempt(self, make: Callable[..., Any]) -> None:
        assert not isinstance(self.folder, TaskFolderError)
        trial = Trial(self.folder, self.actor, make)
        attempt = self.stash[ATTEMPT] = Attempt(trial, self.folder, self.actor.name, self.number)
        with attempt.judged(breaking_is_failing=self.actor.name == "oracle"):
            reward = trial.run()
            attempt.graded(reward)
            problem = self._problem(reward)
            if problem and self.actor.name in ADVERSARIES and trial.log.shared:
                pytest.xfail(f"{problem}, as environment_mode = 'shared' lets him")
            if problem:
                pytest.fail(attempt.story(problem), pytrace=False)

    def _problem(self, reward: Reward) -> str:
        """What is wrong with a task that gives this reward for this."""
        if self.actor.name == "oracle":
            return "" if reward.is_full else f"the solution got {reward.value:g}, and has to get 1"
        if not reward.is_full:
            return ""
        meaning = ADVERSARIES[self.actor.name].meaning if self.actor.name in ADVERSARIES else "does nothing"
        return f"{self.actor.name} got the whole reward, and {meaning}"


def check_adversaries(names: Iterable[str]) -> None:
    """Raises ``pytest.UsageError`` for one that nobody knows."""
    known = (*ADVERSARIES, _NOBODY)
    for name in names:
        if name not in known:
            raise pytest.UsageError(
                f"--fargate-adversaries={name}: expected some of {', '.join(known)}{nearest(name, known)}"
            )

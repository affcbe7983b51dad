"""The tests of a task: that its solution gets the whole reward, and that nobody else gets it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_fargate_sandbox.leaves.config import nearest
from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.plugin import options
from pytest_fargate_sandbox.plugin.task_attempts import ATTEMPT, NAMED, Attempt
from pytest_fargate_sandbox.tasks.actors import Nop, Oracle
from pytest_fargate_sandbox.tasks.adversaries import ADVERSARIES
from pytest_fargate_sandbox.tasks.submissions import Submission
from pytest_fargate_sandbox.tasks.task_reading import read_task
from pytest_fargate_sandbox.tasks.task_trial import Trial

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.submissions import Submissions
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder
    from pytest_fargate_sandbox.tasks.task_trial import Actor


_NOBODY = "none"

SUBMISSIONS: pytest.StashKey[Submissions] = pytest.StashKey()
"""What is graded, where that was asked for."""


class TaskWarning(pytest.PytestWarning):
    """Something in a task's file that nobody reads, or that means something else than it seems to."""


class TaskFile(pytest.Module):
    """A ``task.toml`` or ``task.yaml``: a module without code, for fixtures of that scope."""

    obj = None

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Without reading it: of thousands of tasks, a worker runs some."""
        submissions = self.config.stash.get(SUBMISSIONS, None)
        if submissions is not None:
            by_agent: dict[str, list[Submission]] = {}
            for each in submissions.of(self.path.parent.name):
                by_agent.setdefault(each.name, []).append(each)
            for agent, theirs in by_agent.items():
                yield AgentOfTask.of(self, agent, theirs)
            return
        run = self.config.stash[options.SETTINGS].run
        others = [ADVERSARIES[name] for name in run["adversaries"] if name != _NOBODY]
        tries = range(1, run["repeat"] + 1)
        whose = [(actor, number) for actor in (Oracle(), Nop()) for number in tries] + [(each, 0) for each in others]
        fixtures = None
        for actor, number in whose:
            name = f"{actor.name}[{number}]" if number and len(tries) > 1 else actor.name
            mark = "adversary" if actor.name in ADVERSARIES else actor.name
            item = TaskItem.of(self, self, actor, name, number or 1, mark, fixtures=fixtures)
            fixtures = item._fixtureinfo
            yield item

    @cached_property
    def read(self) -> TaskFolder | TaskFolderError:
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


class AgentOfTask(pytest.Collector):
    """What one agent handed in for a task."""

    submissions: list[Submission]

    @classmethod
    def of(cls, file: TaskFile, agent: str, submissions: list[Submission]) -> AgentOfTask:
        node: AgentOfTask = cls.from_parent(file, name=_as_name(agent))
        node.submissions = submissions
        return node

    def collect(self) -> Iterator[pytest.Item]:
        for each in self.submissions:
            file = cast(TaskFile, self.parent)
            yield TaskItem.of(self, file, each, _as_name(each.number), each.number, "submission", fixtures=None)


def _as_name(text: str) -> str:
    """Of a node: brackets and colons are pytest's own."""
    return text.replace("::", "--").replace("[", "(")


def _attempt(request: pytest.FixtureRequest, fargate_sandbox_factory: Callable[..., Sandbox]) -> None:
    """What all of these tests run: pytest gives it fixtures as it gives them to any."""
    request.node.attempt(fargate_sandbox_factory)


class TaskItem(pytest.Function):
    """One attempt at a task by one actor."""

    actor: Actor
    number: int | str
    """Which of several tries by the same actor."""
    file: TaskFile

    @classmethod
    def of(
        cls,
        parent: pytest.Collector,
        file: TaskFile,
        actor: Actor,
        name: str,
        number: int | str,
        mark: str,
        *,
        fixtures: Any,
    ) -> TaskItem:
        """``fixtures``: what pytest has found out for another one of the same file, or None."""
        item: TaskItem = cls.from_parent(parent, name=name, callobj=_attempt, fixtureinfo=fixtures)
        item.actor, item.number, item.file = actor, number, file
        item.add_marker(mark)
        return item

    @property
    def folder(self) -> TaskFolder:
        """Raises ``TaskFolderError``."""
        if isinstance(self.file.read, TaskFolderError):
            raise self.file.read
        return self.file.read

    def setup(self) -> None:
        self.stash[NAMED] = named = {
            "task": self.nodeid.partition("::")[0],
            "agent": self.actor.name,
            "try": self.number,
        }
        named["task"] = self.folder.name
        if self.folder.obstacles:
            pytest.skip(f"{self.folder.name}: {'; '.join(self.folder.obstacles)}")
        super().setup()

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.path, 0, f"{self.path.parent.name}::{self.name}"

    def attempt(self, make: Callable[..., Any]) -> None:
        trial = Trial(self.folder, self.actor, make)
        attempt = self.stash[ATTEMPT] = Attempt(trial, self.stash[NAMED])
        with attempt.judged(breaking_is_failing=self._has_to_solve):
            reward = trial.run()
            attempt.graded(reward)
            problem = self._problem(reward)
            if problem and self.actor.name in ADVERSARIES and trial.log.shared:
                pytest.xfail(f"{problem}, as environment_mode = 'shared' lets him")
            if problem:
                pytest.fail(attempt.story(problem), pytrace=False)

    @property
    def _has_to_solve(self) -> bool:
        return isinstance(self.actor, (Oracle, Submission))

    def _problem(self, reward: Reward) -> str:
        """What is wrong with a task that gives this reward for this."""
        if self._has_to_solve:
            who = f"{self.actor.name}'s try {self.number}" if isinstance(self.actor, Submission) else "the solution"
            return "" if reward.is_full else f"{who} got {reward.value:g}, and has to get 1"
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

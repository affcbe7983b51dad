"""The tests of a task: that its solution gets the whole reward, and that nobody else gets it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.leaves.plain_values import nearest
from pytest_fargate_sandbox.leaves.printable import one_line
from pytest_fargate_sandbox.plugin import outcomes
from pytest_fargate_sandbox.plugin.settings import run_settings
from pytest_fargate_sandbox.plugin.tasks_as_tests.pinned_images import with_pinned_image
from pytest_fargate_sandbox.plugin.tasks_as_tests.slots_for_tasks import SLOTS, SlotsForTasks
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_attempts import ATTEMPT, NAMED, Attempt
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_bounds import work_bounds
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_reach import TaskWarning, in_its_network
from pytest_fargate_sandbox.tasks.actors import Nop, Oracle
from pytest_fargate_sandbox.tasks.adversaries import ADVERSARIES
from pytest_fargate_sandbox.tasks.task_inputs import check_solutions
from pytest_fargate_sandbox.tasks.task_reading import beside_its_agent, read_task
from pytest_fargate_sandbox.tasks.task_trial import Trial
from pytest_fargate_sandbox.tasks.verifying import verifier_digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox
    from pytest_fargate_sandbox.tasks.crossing_store import CrossingStore
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.submissions import Submission, Submissions
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder
    from pytest_fargate_sandbox.tasks.task_slot import TaskSlot
    from pytest_fargate_sandbox.tasks.workplace import Actor, Workplace


_NOBODY = "none"
_LONGEST_NAME = 255
_ADVICE = (
    ": if its solution changes more, --fargate-verifier=shared has it verified where it was, as a task.toml can say"
)

SUBMISSIONS: pytest.StashKey[Submissions] = pytest.StashKey()
"""What is graded, where that was asked for."""

REGRADED: pytest.StashKey[Mapping[str, Mapping[str, Any]]] = pytest.StashKey()
"""The records of the run whose work is verified again."""

STORE: pytest.StashKey[CrossingStore] = pytest.StashKey()
"""Where that work is kept."""

TWIN: pytest.StashKey[Path] = pytest.StashKey()
"""Another task of the run whose folder has the same name, where that alone says what was handed in for whom."""


class TaskFile(pytest.Module):
    """A ``task.toml`` or ``task.yaml``: a module without code, for fixtures of that scope."""

    obj = None

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Without reading it: of thousands of tasks, a worker runs some."""
        handed_in = self.config.stash.get(SUBMISSIONS, None)
        earlier = self.config.stash.get(REGRADED, None)
        if earlier is not None:
            yield from self._again([each for test, each in earlier.items() if test.startswith(f"{self.nodeid}::")])
        elif handed_in is not None:
            yield from self._graded(handed_in.of(self.path.parent.name))
        else:
            yield from self._tried()

    def _graded(self, submissions: Iterable[Submission]) -> Iterator[AgentOfTask]:
        nodes: dict[str, AgentOfTask] = {}
        for each in submissions:
            node = nodes[each.name] = nodes.get(each.name) or AgentOfTask.of(self, each.name)
            node.items.append(TaskItem.of(node, self, each, _as_name(each.number), each.number, "submission"))
        yield from nodes.values()

    def _again(self, records: Iterable[Mapping[str, Any]]) -> Iterator[pytest.Item | pytest.Collector]:
        """The tests of before, for what they verified then."""
        nodes: dict[str, AgentOfTask] = {}
        for record in records:
            agent, _, number = record["test"].removeprefix(f"{self.nodeid}::").rpartition("::")
            actor = Again(record["agent"], record)
            if not agent:
                mark = "adversary" if actor.name in ADVERSARIES else actor.name
                yield TaskItem.of(self, self, actor, number, record["try"], mark)
                continue
            node = nodes[agent] = nodes.get(agent) or AgentOfTask.of(self, agent)
            node.items.append(TaskItem.of(node, self, actor, number, record["try"], "submission"))
        yield from nodes.values()

    def _tried(self) -> Iterator[TaskItem]:
        run = self.config.stash[run_settings.SETTINGS].run
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
            folder = task_of(self.path, self.config)
            for warning in folder.warnings:
                self.warn(TaskWarning(warning))
        except TaskFolderError as error:
            return error
        except TaskWarning as warning:  # where warnings are errors
            return TaskFolderError(str(warning), path=str(self.path))
        return folder


def task_of(file: Path, config: pytest.Config) -> TaskFolder:
    """As this run has it. Raises ``TaskFolderError``."""
    folder = read_task(file)
    return beside_its_agent(folder) if config.stash[run_settings.SETTINGS].run["verifier"] == "shared" else folder


class AgentOfTask(pytest.Collector):
    """What one agent handed in for a task."""

    items: list[TaskItem]

    @classmethod
    def of(cls, file: TaskFile, agent: str) -> AgentOfTask:
        node: AgentOfTask = cls.from_parent(file, name=_as_name(agent))
        node.items = []
        return node

    def collect(self) -> list[TaskItem]:
        return self.items


@dataclass(frozen=True)
class Again:
    """Somebody whose work is verified once more."""

    name: str
    record: Mapping[str, Any]

    def act(self, there: Workplace) -> None:
        """He has done it before."""


def _as_name(text: str) -> str:
    """Of a node, on one line: brackets and colons are pytest's own."""
    return one_line(text, _LONGEST_NAME).replace("::", "--").replace("[", "(")


def _attempt(request: pytest.FixtureRequest, fargate_sandbox_factory: Callable[..., Sandbox]) -> None:
    """What all of these tests run: pytest gives it fixtures as it gives them to any."""
    request.node.attempt(fargate_sandbox_factory)


class TaskItem(pytest.Function):
    """One attempt at a task by one actor."""

    actor: Actor
    number: int | str
    """Which of several tries by the same actor."""
    file: TaskFile
    kind: str
    """The mark that it has: oracle, nop, adversary or submission."""

    @classmethod
    def of(
        cls,
        parent: pytest.Collector,
        file: TaskFile,
        actor: Actor,
        name: str,
        number: int | str,
        kind: str,
        *,
        fixtures: Any = None,
    ) -> TaskItem:
        """``fixtures``: what pytest has found out for another one of the same file, or None."""
        item: TaskItem = cls.from_parent(parent, name=name, callobj=_attempt, fixtureinfo=fixtures)
        item.actor, item.number, item.file, item.kind = actor, number, file, kind
        item.stash[outcomes.NEVER_FAILS] = True
        item.add_marker(kind)
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
            "folder": os.path.relpath(self.path.parent, self.config.rootpath),
            "agent": self.actor.name,
            "try": self.number,
        }
        named["task"] = self.folder.name
        if TWIN in self.stash:
            told = f"it cannot be told whether this was handed in for {self.path.parent} or for {self.stash[TWIN]}"
            raise TaskFolderError(f"{told}: give them folders of two names, or name one of them", path=str(self.path))
        if self.folder.obstacles:
            pytest.skip(f"{self.folder.name}: {'; '.join(self.folder.obstacles)}")
        if self.kind == "oracle":
            check_solutions(self.folder)
        super().setup()

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.path, 0, f"{self.path.parent.name}::{self.name}"

    def attempt(self, make: Callable[..., Any]) -> None:
        make = with_pinned_image(make, self.config)
        slots = self.config.stash.get(SLOTS, None)
        again = ""
        if slots is not None and not isinstance(self.actor, Again) and slots.may_have(self.folder, self.kind):
            again = self._attempt_in_slots(make, slots)
            if not again:
                return
        trial, attempt = self._begun(make)
        trial.log.note(again)
        with attempt.judged(breaking_is_failing=self._has_to_solve):
            reward = self._reward(trial, attempt)
            attempt.graded(reward)
            problem = self._problem(reward)
            if problem and self.kind == "adversary" and trial.log.shared:
                pytest.xfail(f"{problem}, as a shared verifier lets him")
            if problem:
                advice = _ADVICE if self.kind == "oracle" else ""
                pytest.fail(attempt.story(problem, advice), pytrace=False)

    def _attempt_in_slots(self, make: Callable[..., Any], slots: SlotsForTasks) -> str:
        """Why sandboxes of its own have to decide, if they have to."""
        had: list[Any] = []

        def made(**keys: Any) -> Any:
            had.append(make(**keys))
            return had[-1]

        trial, attempt = self._begun(made, slots.room)
        with attempt.judged(breaking_is_failing=False):
            reward = slots.tried(trial)
        if not isinstance(reward, str) and slots.decides(self.folder, self.kind, reward):
            attempt.graded(reward)
            return ""
        for slot in had:  # there is nothing in them that anybody would keep
            slot.stop()
        told = f"there was no verdict ({reward})" if isinstance(reward, str) else f"the reward was {reward.value:g}"
        return f"in slots {told}, so sandboxes of its own decide"

    def _begun(
        self, make: Callable[..., Any], in_slot: Callable[[Any], TaskSlot] | None = None
    ) -> tuple[Trial, Attempt]:
        make = in_its_network(make, self.config, lambda why: trial.log.without_internet(why))
        store, bounds = self.config.stash.get(STORE, None), work_bounds(self.config)
        trial = Trial(self.folder, self.actor, make, store, in_slot=in_slot, bounds=bounds)
        attempt = self.stash[ATTEMPT] = Attempt(trial, self.stash[NAMED])
        return trial, attempt

    def _reward(self, trial: Trial, attempt: Attempt) -> Reward:
        if not isinstance(self.actor, Again):
            return trial.run()
        before = self.actor.record
        if attempt.stays(before, verifier_digests(self.folder)):
            pytest.skip("neither its tests nor the image that they run in have changed since")
        if not before.get("crossed"):
            attempt.stays(before, {})
            pytest.skip(
                "nothing of it was kept: it broke off before, was verified beside the agent, or without --fargate-store"
            )
        attempt.record["was"] = before["verdict"]
        return trial.regrade(before["crossed"])

    @property
    def _has_to_solve(self) -> bool:
        return self.kind in ("oracle", "submission")

    def _problem(self, reward: Reward) -> str:
        """What is wrong with a task, or with who tried it, that gives this reward for this."""
        if self._has_to_solve:
            who = "the solution" if self.kind == "oracle" else f"{self.actor.name}'s try {self.number}"
            return "" if reward.is_full else f"{who} got {reward.value:g}, and has to get 1"
        if not reward.is_full:
            return ""
        meaning = ADVERSARIES[self.actor.name].meaning if self.kind == "adversary" else "does nothing"
        return f"{self.actor.name} got the whole reward, and {meaning}"


def check_adversaries(names: Iterable[str]) -> None:
    """Raises ``pytest.UsageError`` for one that nobody knows."""
    known = (*ADVERSARIES, _NOBODY)
    for name in names:
        if name not in known:
            raise pytest.UsageError(
                f"--fargate-adversaries={name}: expected some of {', '.join(known)}{nearest(name, known)}"
            )

"""Tasks for tests that drive an agent themselves: ``fargate_task`` and ``fargate_verifier``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.plugin.tasks_as_tests.pinned_images import with_pinned_image
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_attempts import ATTEMPT, NAMED, Attempt
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_bounds import work_bounds
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_items import task_of
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_reach import in_its_network
from pytest_fargate_sandbox.tasks.task_in_hand import TaskInHand
from pytest_fargate_sandbox.tasks.task_reading import task_file_in
from pytest_fargate_sandbox.tasks.task_trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder


def begin(request: pytest.FixtureRequest, make: Callable[..., Any]) -> TaskInHand:
    import pytest

    item = cast("pytest.Item", cast(Any, request)._pyfuncitem)
    folder = _folder(request, item)
    where = os.path.relpath(folder.path, item.config.rootpath)
    agent = getattr(item, "originalname", item.name)
    item.stash[NAMED] = {"task": folder.name, "folder": where, "agent": agent, "try": 1}
    if folder.obstacles:
        pytest.skip(f"{folder.name}: {'; '.join(folder.obstacles)}")
    make = in_its_network(make, request.config, lambda why: trial.log.without_internet(why))
    make = with_pinned_image(make, request.config)
    trial = Trial(folder, None, make, bounds=work_bounds(request.config))
    item.stash[ATTEMPT] = Attempt(trial, item.stash[NAMED])
    return TaskInHand(trial)


def grader(request: pytest.FixtureRequest, task: TaskInHand) -> Callable[[], Reward]:
    attempt = request.node.stash[ATTEMPT]

    def grade() -> Reward:
        with attempt.judged(breaking_is_failing=True):
            reward = task.grade()
            attempt.graded(reward)
        return reward

    return grade


def _folder(request: pytest.FixtureRequest, item: pytest.Item) -> TaskFolder:
    said = getattr(request, "param", None) or marker.keys_of(item).get("task")
    if said is None:
        raise TaskFolderError(
            "fargate_task: which task? Say @pytest.mark.fargate(task=FOLDER), or give it as a parameter"
        )
    directory = item.path.parent / said
    file = task_file_in(directory)
    if file is None:
        raise TaskFolderError(f"fargate_task: there is no task.toml in {directory}", path=str(directory))
    return task_of(file, request.config)

"""The shelf: what is launched ahead of need, who gets it, and that nothing is launched that nobody needs."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.run.bound import TaskBound
from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
from pytest_fargate_sandbox.run.shared_state import SharedState
from pytest_fargate_sandbox.run.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

SPEC = SandboxSpec(EcsFargateConfig(cluster="local", image_template="a"))
OTHER = SandboxSpec(EcsFargateConfig(cluster="local", image_template="b"))


def _task(arn: str, status: str = "RUNNING") -> dict[str, str]:
    return {"taskArn": arn, "lastStatus": status}


class Launcher:
    def __init__(self) -> None:
        self.launched: list[str] = []
        self.stopped: list[str] = []
        self.asked_for: list[int] = []
        self.status: dict[str, str] = {}
        self.numbers = itertools.count()
        self.fails = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def launch(self, _spec: SandboxSpec, task_id: str) -> str:
        self.may_go_on.wait(10)
        if self.fails:
            raise StartError("no capacity")
        self.launched.append(f"arn:{task_id}")
        return f"arn:{task_id}"

    def stop(self, arn: str) -> None:
        self.stopped.append(arn)

    def described(self, arns: Collection[str]) -> dict[str, dict[str, Any]]:
        self.asked_for.append(len(arns))
        return {arn: _task(arn, self.status.get(arn, "RUNNING")) for arn in arns}


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


@pytest.fixture
def shelf_of(tmp_path: Path, launcher: Launcher, request: pytest.FixtureRequest) -> Callable[..., Shelf]:
    def make(worker: str = "gw0", ahead: int = 2, limit: int | None = None) -> Shelf:
        state = SharedState(tmp_path)
        bound = TaskBound(state, limit, worker, launcher)
        shelf = Shelf(
            state, bound, ahead=ahead, worker=worker, launch=launcher.launch, tasks=launcher,
            new_id=lambda: f"{worker}-{next(launcher.numbers)}",
        )  # fmt: skip
        request.addfinalizer(shelf.close)
        return shelf

    return make


def eventually(condition: Callable[[], bool]) -> None:
    wait_until(lambda: condition() or None, deadline=10, what="the condition")


def test_as_many_are_ready_as_were_asked_for(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf_of(ahead=2).plan(SPEC, 10)
    eventually(lambda: len(launcher.launched) == 2)


def test_only_those_that_run_next_are_asked_for(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=20)
    shelf.plan(SPEC, 20)
    eventually(lambda: len(launcher.launched) == 20)
    assert shelf.claim(SPEC.kind, patience=20) == ("gw0-0", _task("arn:gw0-0"))
    assert launcher.asked_for == [2], "one test waits for one task, and the first may lag"


def test_one_that_is_taken_is_replaced(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=2)
    shelf.plan(SPEC, 10)
    eventually(lambda: len(launcher.launched) == 2)
    assert shelf.claim(SPEC.kind, patience=20) == ("gw0-0", _task("arn:gw0-0"))
    eventually(lambda: len(launcher.launched) == 3)


def test_never_more_than_the_run_still_needs(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=5)
    shelf.plan(SPEC, 3)
    eventually(lambda: len(launcher.launched) == 3)
    claimed = [shelf.claim(SPEC.kind, patience=20) for _ in range(3)]
    assert None not in claimed
    shelf.close()
    assert len(launcher.launched) == 3


def test_another_worker_takes_what_the_first_launched(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    first, second = shelf_of("gw0", ahead=1), shelf_of("gw1", ahead=1)
    first.plan(SPEC, 2)
    eventually(lambda: len(launcher.launched) == 1)
    assert second.claim(SPEC.kind, patience=20) == ("gw0-0", _task("arn:gw0-0"))


def test_one_that_is_still_being_launched_is_waited_for(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=1)
    launcher.may_go_on.clear()
    shelf.plan(SPEC, 1)
    eventually(lambda: bool(shelf._state.read().get("tasks")))
    threading.Timer(0.1, launcher.may_go_on.set).start()
    assert shelf.claim(SPEC.kind, patience=20) == ("gw0-0", _task("arn:gw0-0"))


def test_another_kind_is_of_no_use(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=1)
    shelf.plan(SPEC, 1)
    eventually(lambda: len(launcher.launched) == 1)
    assert shelf.claim(OTHER.kind, patience=20) is None


def test_a_launch_that_fails_leaves_the_need_to_whoever_has_it(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    launcher.fails = True
    shelf = shelf_of(ahead=2)
    shelf.plan(SPEC, 5)
    eventually(lambda: not shelf._specs)
    assert shelf.claim(SPEC.kind, patience=20) is None


def test_the_first_that_runs_is_taken_not_the_first_that_was_launched(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    launcher.status["arn:gw0-0"] = "PENDING"
    shelf = shelf_of(ahead=2)
    shelf.plan(SPEC, 2)
    eventually(lambda: len(launcher.launched) == 2)
    assert shelf.claim(SPEC.kind, patience=20) == ("gw0-1", _task("arn:gw0-1"))


def test_one_that_died_on_the_shelf_is_given_to_nobody(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    launcher.status["arn:gw0-0"] = "STOPPED"
    shelf = shelf_of(ahead=1)
    shelf.plan(SPEC, 1)
    eventually(lambda: len(launcher.launched) == 1)
    claimed = shelf.claim(SPEC.kind, patience=20)
    assert claimed is None or claimed[0] != "gw0-0"


def test_one_that_was_seen_running_and_died_since_is_given_to_nobody(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    shelf = shelf_of(ahead=3)
    shelf.plan(SPEC, 3)
    eventually(lambda: len(launcher.launched) == 3)
    first = shelf.claim(SPEC.kind, patience=20)
    assert first is not None
    noted = [row for row in shelf._state.read()["tasks"].values() if row.get("running")]
    assert noted, "a look sees more than one that waits"
    with shelf._state.change() as document:  # as if it had been long ago
        for row in document["tasks"].values():
            row["seen"] = 0.0
    launcher.status.update(dict.fromkeys(launcher.launched, "STOPPED"))
    assert shelf.claim(SPEC.kind, patience=20) is None


def test_one_that_never_runs_is_given_out_in_the_end(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    launcher.status["arn:gw0-0"] = "PENDING"
    shelf = shelf_of(ahead=1)
    shelf.plan(SPEC, 1)
    eventually(lambda: len(launcher.launched) == 1)
    assert shelf.claim(SPEC.kind, patience=0.2) == ("gw0-0", {"taskArn": "arn:gw0-0"})


def test_the_bound_on_tasks_holds(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=5, limit=3)
    shelf.plan(SPEC, 10)
    eventually(lambda: len(launcher.launched) == 3)
    shelf.close()
    assert len(launcher.launched) == 3


def test_an_image_of_each_tests_own_is_never_prelaunched(shelf_of: Callable[..., Shelf]) -> None:
    shelf = shelf_of(ahead=2)
    shelf.plan(SandboxSpec(EcsFargateConfig(cluster="local", image_template="x:{task_id}")), 10)
    assert shelf._thread is None

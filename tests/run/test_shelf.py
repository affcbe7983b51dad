"""The shelf: what is launched ahead of need, who gets it, and that nothing is launched that nobody needs."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.run.bound import TaskBound, forget_worker
from pytest_fargate_sandbox.run.kind_notes import KindNotes
from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec, Wants
from pytest_fargate_sandbox.run.shelf import Shelf
from pytest_fargate_sandbox.run.shelf_filler import ShelfFiller
from pytest_fargate_sandbox.run.stock import FixedStock
from pytest_fargate_sandbox.sandbox.task.launched_ahead import LaunchedAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

SPEC = SandboxSpec(EcsFargateConfig(cluster="local"))
OTHER = SandboxSpec(EcsFargateConfig(cluster="local", cpu="1024", memory="2048"))


def _task(arn: str, status: str = "RUNNING") -> dict[str, str]:
    return {"taskArn": arn, "lastStatus": status}


def _ahead(name: str) -> LaunchedAhead:
    return LaunchedAhead(_task(f"arn:{name}"), name)


class Launcher:
    def __init__(self) -> None:
        self.launched: list[str] = []
        self.stopped: list[str] = []
        self.asked_for: list[int] = []
        self.status: dict[str, str] = {}
        self.numbers = itertools.count()
        self.fails, self.refused, self.is_faulty = False, 0, False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def launch(self, _spec: SandboxSpec, task_id: str) -> str:
        self.may_go_on.wait(10)
        if self.is_faulty:
            raise KeyError(task_id)
        if self.fails:
            self.refused += 1
            raise StartError("no capacity", transient=True)
        self.launched.append(f"arn:{task_id}")
        return f"arn:{task_id}"

    def stop(self, arn: str) -> None:
        self.stopped.append(arn)

    def described(self, arns: Collection[str], **_within: float) -> dict[str, dict[str, Any]]:
        self.asked_for.append(len(arns))
        return {arn: _task(arn, self.status.get(arn, "RUNNING")) for arn in arns}


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


@pytest.fixture
def shelf_of(tmp_path: Path, launcher: Launcher, request: pytest.FixtureRequest) -> Callable[..., Shelf]:
    def make(worker: str = "gw0", ahead: int = 2, limit: int | None = None, stock: FixedStock | None = None) -> Shelf:
        state, kinds = SharedState(tmp_path), KindNotes()
        filler = ShelfFiller(
            state, kinds, TaskBound(state, limit, worker, launcher), stock=stock or FixedStock(ahead), worker=worker,
            launch=launcher.launch, tasks=launcher, new_id=lambda: f"{worker}-{next(launcher.numbers)}",
        )  # fmt: skip
        shelf = Shelf(state, kinds, worker=worker, tasks=launcher, filler=filler)
        request.addfinalizer(shelf.close)
        return shelf

    return make


def claim(shelf: Shelf, spec: SandboxSpec = SPEC, patience: float = 20) -> LaunchedAhead | None:
    return shelf.claim(spec, test="test_it", patience=patience)


def eventually(condition: Callable[[], bool]) -> None:
    wait_until(lambda: condition() or None, deadline=10, what="the condition")


def test_as_many_are_ready_as_were_asked_for(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf_of(ahead=2).plan(SPEC, range(10))
    eventually(lambda: len(launcher.launched) == 2)


def test_only_those_that_run_next_are_asked_for(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=20)
    shelf.plan(SPEC, range(20))
    eventually(lambda: len(launcher.launched) == 20)
    assert claim(shelf) == _ahead("gw0-0")
    assert launcher.asked_for == [2], "one test waits for one task, and the first may lag"


def test_one_that_is_taken_is_replaced(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=2)
    shelf.plan(SPEC, range(10))
    eventually(lambda: len(launcher.launched) == 2)
    assert claim(shelf) == _ahead("gw0-0")
    eventually(lambda: len(launcher.launched) == 3)


def test_never_more_than_the_run_still_needs(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=5)
    shelf.plan(SPEC, range(3))
    eventually(lambda: len(launcher.launched) == 3)
    claimed = [claim(shelf) for _ in range(3)]
    assert None not in claimed
    shelf.close()
    assert len(launcher.launched) == 3


def test_another_worker_takes_what_the_first_launched(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    first, second = shelf_of("gw0", ahead=1), shelf_of("gw1", ahead=1)
    first.plan(SPEC, range(2))
    eventually(lambda: len(launcher.launched) == 1)
    assert claim(second) == _ahead("gw0-0")


def test_one_that_is_still_being_launched_is_waited_for(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=1)
    launcher.may_go_on.clear()
    shelf.plan(SPEC, range(1))
    eventually(lambda: bool(shelf._state.read().get("tasks")))
    threading.Timer(0.1, launcher.may_go_on.set).start()
    assert claim(shelf) == _ahead("gw0-0")


class Unhurried(FixedStock):
    """Takes until another kind is planned to say how much there is to be of one."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.is_asked, self.goes_on = threading.Event(), threading.Event()

    def wanted(self, *asked: Any) -> int:
        self.is_asked.set()
        assert self.goes_on.wait(10)
        return super().wanted(*asked)


def test_a_kind_may_be_planned_while_it_is_looked_what_the_others_are_short_of(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    stock = Unhurried(1)
    shelf = shelf_of(stock=stock)
    shelf.plan(SPEC, range(1))
    assert stock.is_asked.wait(10)
    shelf.plan(OTHER, range(1))
    stock.goes_on.set()
    eventually(lambda: len(launcher.launched) == 2)


def test_another_kind_is_of_no_use(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=1)
    shelf.plan(SPEC, range(1))
    eventually(lambda: len(launcher.launched) == 1)
    assert claim(shelf, OTHER) is None


def test_a_launch_that_fails_leaves_the_need_to_whoever_has_it(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    launcher.fails = True
    shelf = shelf_of(ahead=2)
    shelf.plan(SPEC, range(5))
    eventually(lambda: launcher.refused == 1)
    assert claim(shelf) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_launch_that_a_fault_of_ours_has_ended(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    launcher.is_faulty = True
    launcher.may_go_on.clear()
    shelf = shelf_of()
    shelf.plan(SPEC, range(4))
    thread, found = in_a_thread(shelf, SPEC)
    launcher.may_go_on.set()
    thread.join(20)
    assert found == [None]


def test_the_first_that_runs_is_taken_not_the_first_that_was_launched(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    launcher.status["arn:gw0-0"] = "PENDING"
    shelf = shelf_of(ahead=2)
    shelf.plan(SPEC, range(2))
    eventually(lambda: len(launcher.launched) == 2)
    assert claim(shelf) == _ahead("gw0-1")


def test_one_that_died_on_the_shelf_is_given_to_nobody(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    launcher.status["arn:gw0-0"] = "STOPPED"
    shelf = shelf_of(ahead=1)
    shelf.plan(SPEC, range(1))
    eventually(lambda: len(launcher.launched) == 1)
    claimed = claim(shelf)
    assert claimed is None or claimed.launched_as != "gw0-0"


def test_one_that_was_seen_running_and_died_since_is_given_to_nobody(
    shelf_of: Callable[..., Shelf], launcher: Launcher
) -> None:
    shelf = shelf_of(ahead=3)
    shelf.plan(SPEC, range(3))
    eventually(lambda: len(launcher.launched) == 3)
    assert claim(shelf) is not None
    noted = [row for row in shelf._state.read()["tasks"].values() if row.get("running")]
    assert noted, "a look sees more than one that waits"
    with shelf._state.change() as document:  # as if it had been long ago
        for row in document["tasks"].values():
            row["seen"] = 0.0
    launcher.status.update(dict.fromkeys(launcher.launched, "STOPPED"))
    assert claim(shelf) in (None, _ahead("gw0-3")), "none, or one that was launched in their place"


def test_one_that_never_runs_is_given_out_in_the_end(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    launcher.status["arn:gw0-0"] = "PENDING"
    shelf = shelf_of(ahead=1)
    shelf.plan(SPEC, range(1))
    eventually(lambda: len(launcher.launched) == 1)
    assert claim(shelf, patience=0.2) == LaunchedAhead({"taskArn": "arn:gw0-0"}, "gw0-0")


def test_the_bound_on_tasks_holds(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=5, limit=3)
    shelf.plan(SPEC, range(10))
    eventually(lambda: len(launcher.launched) == 3)
    shelf.close()
    assert len(launcher.launched) == 3


def test_an_image_of_each_tests_own_is_never_prelaunched(shelf_of: Callable[..., Shelf], launcher: Launcher) -> None:
    shelf = shelf_of(ahead=2)
    shelf.plan(SandboxSpec(EcsFargateConfig(cluster="local", image_template="x:{task_id}")), range(10))
    assert launcher.launched == []


UNSURE = SandboxSpec(EcsFargateConfig(cluster="local", image_template="nowhere:1"))


def in_a_thread(shelf: Shelf, spec: SandboxSpec = UNSURE) -> tuple[threading.Thread, list[Any]]:
    """Claim one, of a kind that may not come up where nothing else is said; what came of it."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(claim(shelf, spec))
        except StartError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, found


@pytest.fixture
def two_on_trial(shelf_of: Callable[..., Shelf], launcher: Launcher) -> tuple[list[Shelf], list[str]]:
    """Shelves of three workers, and the two that they have launched of a kind that may not come up."""
    launcher.status.update({f"arn:gw{worker}-{number}": "PENDING" for worker in range(3) for number in range(3)})
    shelves = [shelf_of(f"gw{worker}", ahead=5) for worker in range(3)]
    for shelf in shelves:
        shelf.plan(UNSURE, range(9))
    eventually(lambda: len(launcher.launched) == 2)
    return shelves, launcher.launched


def test_of_a_kind_that_may_not_come_up_two_are_launched_and_one_that_runs_lets_the_others_go(
    two_on_trial: tuple[list[Shelf], list[str]], launcher: Launcher
) -> None:
    shelves, (dies, runs) = two_on_trial[0], list(two_on_trial[1])
    asked = [in_a_thread(shelf) for shelf in shelves]
    eventually(lambda: len(launcher.asked_for) >= 2)
    assert launcher.launched == [dies, runs]
    launcher.status[dies] = "STOPPED"
    launcher.status[runs] = "RUNNING"
    for thread, _ in asked:
        thread.join(10)
    answers = [found[0] for _, found in asked]
    assert _ahead(runs.removeprefix("arn:")) in answers
    assert all(answer is None or answer.task["lastStatus"] == "RUNNING" for answer in answers), "what died is nobody's"
    eventually(lambda: len(launcher.launched) > 5)


@pytest.mark.parametrize(
    ("said", "at_once"),
    [
        ({"environment_dir": "env"}, 4),
        ({"image_template": "python:3.12-slim"}, 2),
        ({"environment_dir": "env", "container_port": 8000, "ssh_sidecar": {}}, 2),
        ({"environment_dir": "env", "cluster": "bench", "ecr_repository": "images"}, 2),
    ],
    ids=["built here", "named", "an agent", "paid for"],
)
def test_where_an_image_is_built_here_before_its_first_task_no_task_is_to_show_that_it_is_there(
    shelf_of: Callable[..., Shelf], launcher: Launcher, said: dict[str, Any], at_once: int
) -> None:
    spec = SandboxSpec(EcsFargateConfig.from_dict({"cluster": "local", "ssh_sidecar": {"exec_server_port": 1}, **said}))
    shelf_of(ahead=4).plan(spec, range(9))
    eventually(lambda: len(launcher.launched) >= at_once)
    time.sleep(0.1)
    assert len(launcher.launched) == at_once


def test_of_a_kind_that_does_not_come_up_the_second_to_die_tells_and_no_third_is_launched(
    two_on_trial: tuple[list[Shelf], list[str]], launcher: Launcher
) -> None:
    shelves, arns = two_on_trial[0], list(two_on_trial[1])
    asked = [in_a_thread(shelf) for shelf in shelves]
    launcher.status.update(dict.fromkeys(arns, "STOPPED"))
    eventually(lambda: any(found for _, found in asked))
    told = [(shelf, found[0]) for shelf, (_, found) in zip(shelves, asked, strict=True) if found]
    ((its_shelf, second),) = told
    assert second.task["lastStatus"] == "STOPPED", "its start tells what it died of"
    error = StartError("no image", reason="CannotPull: not found", cause="pull_failed", task_arn=arns[1])
    assert second.settles(error), "it launches no other in its stead"
    assert not second.settles(StartError("gone", cause="essential_exited", task_arn=arns[1]))
    its_shelf.failed(UNSURE, error, test="test_it", was_ahead=True)
    for thread, _ in asked:
        thread.join(10)
    assert sum(isinstance(found[0], StartError) for _, found in asked) == 2
    assert launcher.launched == arns


def test_a_worker_that_is_killed_with_the_first_of_a_kind_keeps_nobody_waiting(
    shelf_of: Callable[..., Shelf], tmp_path: Path
) -> None:
    assert claim(shelf_of("gw0", ahead=0), UNSURE) is None
    thread, found = in_a_thread(shelf_of("gw1", ahead=0))
    thread.join(0.2)
    assert not found
    forget_worker(SharedState(tmp_path), "gw0", launched={}, shelved=[])
    thread.join(10)
    assert found == [None]


def test_who_has_what_the_first_of_a_kind_needs_room_for_does_not_wait_for_it(
    shelf_of: Callable[..., Shelf], launcher: Launcher, tmp_path: Path
) -> None:
    workers = ("gw0", "gw1")
    bounds = [TaskBound(SharedState(tmp_path), 2, worker, launcher) for worker in workers]
    for bound in bounds:
        bound.admit(bound._worker, Wants("other", 1024))
    assert claim(shelf_of("gw0", ahead=0), UNSURE) is None
    waits = threading.Thread(target=lambda: bounds[0].admit("one more", Wants("k", 1024)))
    waits.start()
    thread, found = in_a_thread(shelf_of("gw1", ahead=0))
    thread.join(10)
    assert found == [None]
    with pytest.raises(StartError, match="this one gives way"):
        bounds[1].admit("and one", Wants("k", 1024))
    bounds[1].stopping("gw1")
    waits.join(10)
    assert not waits.is_alive()

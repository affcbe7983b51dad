"""A machine is told where it is, who writes down what becomes of it, and who lets it launch."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError, StartError
from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.sandbox.machine import Machine
from pytest_fargate_sandbox.sandbox.machine_ties import Admission, Recorder
from pytest_fargate_sandbox.sandbox.task.launched_ahead import LaunchedAhead
from pytest_fargate_sandbox.sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_fargate_sandbox import EcsFargateConfig
    from tests.engine_of_tests import EngineOfTests


class Notebook(Recorder, Admission):
    """Both of them, in one list."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def open(self, machine: Machine, place: Any, ahead: Mapping[str, Any] | None) -> Mapping[str, str]:
        self.events.append(
            f"open {machine.task_id} at {place.cfg.cluster}{' with one launched ahead' if ahead else ''}"
        )
        return {"note": str(len(self.events))}

    def record(self, event: str, **facts: Any) -> None:
        if event != "phase":
            self.events.append(" ".join([event, *(name for name in ("task_arn", "token") if name in facts)]))

    def let_go(self, task_arn: str) -> None:  # noqa: ARG002
        self.events.append("let go")

    def admit(self) -> None:
        self.events.append("admit")

    def launched(self, task_arn: str) -> None:  # noqa: ARG002
        self.events.append("counted")

    def over(self) -> None:
        self.events.append("counted no more")


_LAUNCH = ["admit", "launching token", "launched task_arn", "counted"]
_STOP = ["stopped task_arn", "counted no more", "let go"]


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def machine(
    engine: EngineOfTests,  # noqa: ARG001
    local_config: Callable[..., EcsFargateConfig],
    notebook: Notebook,
) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def make(task_id: str = "m", secret: bytes | None = None, **fields: Any) -> Machine:
        made.append(
            Machine(
                local_config(**fields),
                task_id=task_id,
                run_id="r",
                find_place=resolve_place,
                recorder=notebook,
                admission=notebook,
                secret=secret,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_each_step_of_a_life_is_told_in_order(machine: Callable[..., Machine], notebook: Notebook) -> None:
    mine = machine()
    mine.start()
    mine.start()
    assert notebook.events == ["open m at local", *_LAUNCH, "ready"]
    mine.stop()
    mine.stop()
    assert notebook.events[6:] == _STOP
    mine.start()
    assert notebook.events[9:] == ["open m at local", *_LAUNCH, "ready"]


def test_a_failed_start_is_told_to_its_end(
    machine: Callable[..., Machine], notebook: Notebook, engine: EngineOfTests
) -> None:
    engine.fault(die_after=0.01)
    try:
        mine = machine(run_task_max_retries=0)
        with pytest.raises(StartError):
            mine.start()
    finally:
        engine.fault(die_after=0)
    assert notebook.events[:5] == ["open m at local", *_LAUNCH]
    assert notebook.events[5:] == ["stopped task_arn", "counted no more"]
    assert not mine.is_running


def test_what_one_launches_ahead_another_takes_over(machine: Callable[..., Machine], notebook: Notebook) -> None:
    arn = machine("ahead", secret=b"s" * 32).launch_ahead()
    assert notebook.events[-1] == "let go"
    del notebook.events[:]
    mine = machine("named", secret=b"s" * 32)
    mine.take_over(LaunchedAhead({"taskArn": arn}, "ahead"))
    mine.start()
    assert mine.task_arn == arn
    assert Workspace(mine).exec("echo $HOSTNAME").stdout == "named\n"
    assert notebook.events == ["open named at local with one launched ahead", "launched task_arn", "counted", "ready"]
    mine.stop()
    mine.start()
    assert mine.task_arn != arn


def test_one_launched_ahead_that_has_died_meanwhile_is_replaced(
    machine: Callable[..., Machine], engine: EngineOfTests
) -> None:
    arn = machine("ahead", secret=b"s" * 32).launch_ahead()
    engine.aws.call("ecs", "StopTask", cluster="local", task=arn)
    mine = machine("named", secret=b"s" * 32, run_task_max_retries=0)
    mine.take_over(LaunchedAhead({"taskArn": arn}, "ahead"))
    mine.start()
    assert mine.task_arn != arn
    assert Workspace(mine).exec("true").ok


def test_a_name_that_a_task_was_not_launched_with_is_made_known_to_it(machine: Callable[..., Machine]) -> None:
    outside = [OutsideEndpoint("https://model.example/v1", "MODEL")]
    arn = machine("ahead", secret=b"s" * 32).launch_ahead()
    mine = machine("named", secret=b"s" * 32)
    mine.take_over(LaunchedAhead({"taskArn": arn}, "ahead"))
    mine.start(outside_endpoints=outside)
    assert mine.task_arn == arn
    assert Workspace(mine).exec("getent hosts model.example; echo $MODEL").stdout.split() == [
        "127.0.0.1", "model.example", "https://model.example/v1",
    ]  # fmt: skip


@pytest.mark.root
def test_a_user_who_may_not_write_names_has_those_of_the_launch_or_is_told(machine: Callable[..., Machine]) -> None:
    outside = [OutsideEndpoint("https://model.example/v1", "MODEL")]
    mine = machine(user="nobody")
    mine.start(outside_endpoints=outside)
    assert Workspace(mine).exec("id -un; getent hosts model.example").stdout.split()[:2] == ["nobody", "127.0.0.1"]

    arn = machine("ahead", secret=b"s" * 32, user="nobody").launch_ahead()
    other = machine("named", secret=b"s" * 32, user="nobody")
    other.take_over(LaunchedAhead({"taskArn": arn}, "ahead"))
    with pytest.raises(ConfigError, match=r"model\.example: .*/etc/hosts.*`user`"):
        other.start(outside_endpoints=outside)


def test_workspaces_of_one_machine_share_its_files_and_not_their_histories(machine: Callable[..., Machine]) -> None:
    mine = machine()
    first, second = Workspace(mine), Workspace(mine, exec_timeout_sec=0.2)
    with pytest.raises(SandboxError, match="not running"):
        first.exec("true")
    mine.start()
    first.write_file("/tmp/x", "1")
    assert second.read_file("/tmp/x") == b"1"
    assert second.exec("sleep 5").timed_out
    assert [len(each.history) for each in (first, second)] == [0, 1]


def test_no_thread_is_left_when_the_last_one_is_stopped(machine: Callable[..., Machine]) -> None:
    before = set(threading.enumerate())
    mine = machine()
    mine.start()
    mine.stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(3)
        assert not thread.is_alive(), thread.name


def test_who_lets_go_leaves_the_task_to_whoever_enters_it(machine: Callable[..., Machine], notebook: Notebook) -> None:
    mine, other = machine(), machine("other")
    mine.start()
    started, place = mine.running(), mine.place
    mine.detach()
    assert notebook.events[-1] == "let go"
    assert place is not None
    other.enter(
        place, task_arn=started.task.arn, host=started.connection.host, keyring=started.keyring, image=mine.image
    )
    assert Workspace(other).exec("echo here").stdout == "here\n"
    assert other.task_arn == started.task.arn

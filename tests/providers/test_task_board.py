"""What one process was told of tasks, the others need not ask."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.process_identity import boot
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.task_board import TaskBoard
from tests.sandbox.scripted_ecs import ScriptedEcs, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ARN = "arn:aws:ecs:us-east-1:123456789012:task/c/"


def _told(*numbers: int, status: str = "RUNNING", missing: tuple[int, ...] = ()) -> dict[str, Any]:
    tasks = [{"taskArn": f"{_ARN}{number}", "lastStatus": status, "createdAt": 1795241946.25} for number in numbers]
    return {"tasks": tasks, "failures": [{"arn": f"{_ARN}{number}", "reason": "MISSING"} for number in missing]}


@pytest.fixture
def ecs() -> Iterator[Callable[..., ScriptedEcs]]:
    made: list[ScriptedEcs] = []

    def make(*answers: Any) -> ScriptedEcs:
        made.append(ScriptedEcs(DescribeTasks=list(answers)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _arns(*numbers: int) -> list[str]:
    return [f"{_ARN}{number}" for number in numbers]


def test_who_asks_takes_along_what_others_want_and_they_need_not_ask(
    ecs: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    server = ecs(_told(1), _told(1, 2))
    one, other = (TaskBoard(server.aws(tmp_path), "c") for _ in range(2))
    one.described(_arns(1), within=60)
    other.described(_arns(2), within=60)
    told = one.described(_arns(1, 2), within=60)
    assert sorted(told.tasks) == _arns(1, 2)
    assert told.tasks[f"{_ARN}1"]["createdAt"].timestamp() == 1795241946.25
    assert [sorted(call["tasks"]) for call in server.asked("DescribeTasks")] == [_arns(1), _arns(1, 2)]


def test_what_is_older_than_wanted_is_asked_again_and_what_has_stopped_is_not(
    ecs: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    server = ecs(_told(1, missing=(2,)), _told(1, status="STOPPED", missing=(2,)))
    board = TaskBoard(server.aws(tmp_path), "c")
    assert board.described(_arns(1, 2), within=60).missing == _arns(2)
    time.sleep(0.02)
    assert board.described(_arns(1), within=0.01).tasks[f"{_ARN}1"]["lastStatus"] == "STOPPED"
    time.sleep(0.02)
    assert board.described(_arns(1), within=0.01).tasks[f"{_ARN}1"]["lastStatus"] == "STOPPED"
    assert board.described(_arns(1, 2), within=60).missing == _arns(2)
    assert len(server.asked("DescribeTasks")) == 2


def test_a_crowd_asks_once(ecs: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    server = ecs(_told(1))
    boards = [TaskBoard(server.aws(tmp_path), "c") for _ in range(8)]
    threads = [threading.Thread(target=board.described, args=(_arns(1),), kwargs={"within": 60}) for board in boards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked("DescribeTasks")) == 1


def test_a_refusal_is_told_to_who_asked_and_the_next_one_asks(ecs: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    server = ecs(refusal("AccessDeniedException", "no"), _told(1))
    board = TaskBoard(server.aws(tmp_path), "c")
    with pytest.raises(AwsError, match="AccessDenied"):
        board.described(_arns(1), within=60)
    assert list(board.described(_arns(1), within=60).tasks) == _arns(1)


@pytest.mark.parametrize(
    "left_by",
    [{"boot": "another", "asks_since": 10**9}, {"asks_since": -1000.0}],
    ids=["another machine", "one who died while he asked"],
)
def test_what_somebody_left_on_the_board_holds_nobody_up(
    ecs: Callable[..., ScriptedEcs], tmp_path: Path, left_by: dict[str, Any]
) -> None:
    server = ecs(_told(1))
    TaskBoard(server.aws(tmp_path), "c").described(_arns(1), within=60)
    (path,) = tmp_path.rglob("state.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **left_by}))
    TaskBoard(server.aws(tmp_path), "c").described(_arns(1, 2), within=60)
    assert len(server.asked("DescribeTasks")) == 2


def test_where_no_board_can_be_ecs_is_asked(ecs: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    server = ecs(_told(1))
    aws = server.aws(tmp_path)
    aws.notes("boards").rmdir()
    (tmp_path / aws.identity_hash / "boards").write_text("somebody's file")
    assert list(TaskBoard(aws, "c").described(_arns(1), within=60).tasks) == _arns(1)


@pytest.mark.parametrize("spoilt", ['{"boo', "[]", "null", '{"wanted": 1, "told": 2}'])
def test_a_board_that_somebody_spoilt_is_no_obstacle(
    ecs: Callable[..., ScriptedEcs], tmp_path: Path, spoilt: str
) -> None:
    server = ecs(_told(1))
    TaskBoard(server.aws(tmp_path), "c").described(_arns(1), within=60)
    (path,) = tmp_path.rglob("state.json")
    path.write_text(spoilt.replace("{", '{"boot": "' + boot() + '", ', 1) if "wanted" in spoilt else spoilt)
    assert list(TaskBoard(server.aws(tmp_path), "c").described(_arns(1), within=60).tasks) == _arns(1)

from __future__ import annotations

from pytest_fargate_sandbox.leaves.names import RUNNERS
from pytest_fargate_sandbox.local.runners import runner_choice


def test_each_runner_that_can_be_asked_for_is_one_of_that_name() -> None:
    assert [runner_choice._kind(name).name for name in RUNNERS] == list(RUNNERS)

"""These tests' sandboxes are made as the conftest beside them says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateSandbox


def test_the_conftests_environment_is_there(fargate_sandbox: EcsFargateSandbox) -> None:
    assert fargate_sandbox.exec("echo $STAGE").stdout == "examples\n"


def test_a_value_may_hold_the_tasks_own_name(fargate_sandbox: EcsFargateSandbox) -> None:
    assert fargate_sandbox.exec("echo $NAME").stdout.strip() == fargate_sandbox.task_id

"""What the hooks of the conftest beside this file do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateSandbox


def test_knows_its_own_name(fargate_sandbox: EcsFargateSandbox) -> None:
    assert fargate_sandbox.exec("echo $TEST_NAME").stdout == "test_knows_its_own_name\n"


def test_runs_on_the_host(fargate_sandbox: EcsFargateSandbox) -> None:
    assert fargate_sandbox.exec("cat /tmp/workspace/owner").stdout == "test_runs_on_the_host\n"

"""Several sandboxes: a factory for one test, and one sandbox for all tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateSandbox


def test_two_sandboxes_know_nothing_of_each_other(fargate_sandbox_factory: Callable[..., EcsFargateSandbox]) -> None:
    first, second = fargate_sandbox_factory(env={"ROLE": "first"}), fargate_sandbox_factory(env={"ROLE": "second"})
    first.exec("echo $ROLE > /tmp/role", check=True)
    assert second.exec("cat /tmp/role").return_code != 0
    assert second.exec("echo $ROLE").stdout == "second\n"


@pytest.fixture(scope="module")
def toolbox(fargate_session_factory: Callable[..., EcsFargateSandbox]) -> EcsFargateSandbox:
    """One sandbox for this module, set up once."""
    sandbox: EcsFargateSandbox = fargate_session_factory(cpu=512, memory=1024)
    sandbox.exec("mkdir /tmp/tools && echo 'echo made once' > /tmp/tools/run", check=True)
    return sandbox


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_sandbox_for_the_whole_module(toolbox: EcsFargateSandbox, attempt: int) -> None:
    assert toolbox.exec("sh /tmp/tools/run").stdout == "made once\n", f"attempt {attempt}"

"""A test may ask for several of our fixtures: each gives what it says itself, whatever the others say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

CONFTEST = """
import dataclasses
import pytest

@pytest.fixture(scope="session")
def fargate_config(fargate_config):
    from pytest_fargate_sandbox.place.local_cluster import local_engine

    # Stands for an image with a command of its own, which the host's tree has not.
    main = {"name": "main", "image": "host", "entryPoint": ["python3", "-m", "http.server", "8000"]}
    local_engine().connect().call(
        "ecs", "RegisterTaskDefinition", family="served", cpu="256", memory="512", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"], containerDefinitions=[main],
    )
    return dataclasses.replace(
        fargate_config, cpu="256", memory="512", task_definition="served", container_port=8000
    )
"""
HELPERS = """
import pytest
fargate = pytest.mark.fargate

def kind(given):
    sandbox = given() if callable(given) else given
    return "exec" if sandbox.exec_client else "agent"

def env(sandbox):
    return (sandbox.cfg.extra_env or {}).get("P")
"""
_GIVES = {
    "fargate_sandbox": "exec",
    "fargate_agent": "agent",
    "fargate_sandbox_factory": "exec",
    "fargate_session_sandbox": "exec",
    "fargate_session_factory": "exec",
}
MARKS = """
@fargate(mode="agent")
def test_a_mark_is_for_the_tests_own(fargate_agent, fargate_sandbox, fargate_sandbox_factory, fargate_session_sandbox):
    assert kind(fargate_agent) == kind(fargate_sandbox) == kind(fargate_sandbox_factory) == "agent"
    assert kind(fargate_session_sandbox) == "exec"

@fargate(mode="exec")
def test_no_mark_makes_an_agent_something_else(fargate_agent, fargate_sandbox):
    assert (kind(fargate_agent), kind(fargate_sandbox)) == ("agent", "exec")

@pytest.mark.parametrize("value", [pytest.param(1, marks=fargate(env={"P": "both"}))])
def test_a_parameters_mark_reaches_both(fargate_sandbox, fargate_agent, value):
    assert (env(fargate_sandbox), env(fargate_agent)) == ("both", "both")
"""
INDIRECT = """
own = pytest.mark.parametrize("fargate_sandbox", [{"env": {"P": "sandbox"}}], indirect=True)
agents = pytest.mark.parametrize("fargate_agent", [{"env": {"P": "agent"}, "mode": "exec"}], indirect=True)

@own
def test_of_the_sandbox_alone(fargate_sandbox, fargate_agent, fargate_sandbox_factory):
    assert env(fargate_sandbox) == "sandbox"
    assert env(fargate_agent) is env(fargate_sandbox_factory()) is None
    assert kind(fargate_sandbox) == "exec"

@agents
def test_of_the_agent_alone(fargate_sandbox, fargate_agent):
    assert [env(each) for each in (fargate_sandbox, fargate_agent)] == [None, "agent"]
    assert (kind(fargate_sandbox), kind(fargate_agent)) == ("exec", "agent")

@own
@agents
def test_of_both(fargate_sandbox, fargate_agent):
    assert [env(each) for each in (fargate_sandbox, fargate_agent)] == ["sandbox", "agent"]
"""
BEHIND_ANOTHER = """
@pytest.fixture
def pair(fargate_sandbox, fargate_agent):
    return fargate_sandbox, fargate_agent

@pytest.mark.usefixtures("fargate_agent")
def test_through_a_fixture_beside_one_that_is_used_by_name_as_well(pair):
    assert [kind(each) for each in pair] == ["exec", "agent"]
"""


def _all() -> str:
    """Of which the first is asked first, and of which the last."""
    return "".join(
        f"def test_{orders[0]}_first({', '.join(orders)}):\n"
        f"    assert [kind(each) for each in ({', '.join(orders)})] == {[_GIVES[each] for each in orders]}\n\n"
        for orders in (list(_GIVES), list(_GIVES)[::-1])
    )


def _run(pytester: pytest.Pytester, *args: str, **files: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(**{name: HELPERS + tests for name, tests in files.items()})
    return run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist", *args)


@pytest.mark.usefixtures("shared_engine_log")
def test_each_fixture_gives_what_it_says(pytester: pytest.Pytester) -> None:
    files = {"test_all": _all(), "test_marks": MARKS, "test_indirect": INDIRECT, "test_behind": BEHIND_ANOTHER}
    _run(pytester, "--fargate-prelaunch=0", **files).assert_outcomes(passed=2 + 3 + 3 + 1)


def test_a_sandbox_of_each_is_launched_ahead_and_none_is_left(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    tests = "".join(f"def test_{number}(fargate_sandbox, fargate_agent): pass\n" for number in range(2))
    result = _run(pytester, "--fargate-prelaunch=2", "--fargate-report-json=report.json", test_it=tests)
    result.assert_outcomes(passed=2)
    assert shared_engine_log.calls("RunTask") == 4
    assert json.loads((pytester.path / "report.json").read_text())["counts"]["prelaunched_unused"] == 0

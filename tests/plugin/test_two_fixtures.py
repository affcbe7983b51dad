"""A test may ask for several of our fixtures: each gives what it says itself, whatever the others say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.plugin.fixture_keys import keys_for
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

own = pytest.mark.parametrize("fargate_sandbox", [{"env": {"P": "sandbox"}}], indirect=True)
agents = pytest.mark.parametrize("fargate_agent", [{"env": {"P": "agent"}, "mode": "exec"}], indirect=True)
"""
_GIVES = {
    "fargate_sandbox": "exec",
    "fargate_agent": "agent",
    "fargate_sandbox_factory": "exec",
    "fargate_session_sandbox": "exec",
    "fargate_session_factory": "exec",
}
TESTS = f"""
def test_all({", ".join(_GIVES)}):
    assert [kind(each) for each in ({", ".join(_GIVES)})] == {list(_GIVES.values())}

@fargate(mode="agent")
def test_a_mark_is_for_the_tests_own(fargate_sandbox, fargate_session_sandbox):
    assert (kind(fargate_sandbox), kind(fargate_session_sandbox)) == ("agent", "exec")

@fargate(mode="exec")
def test_no_mark_makes_an_agent_something_else_also_where_it_is_asked_first(fargate_agent, fargate_sandbox):
    assert (kind(fargate_agent), kind(fargate_sandbox)) == ("agent", "exec")

@pytest.fixture
def pair(fargate_sandbox, fargate_agent):
    return fargate_sandbox, fargate_agent

@own
@agents
@pytest.mark.usefixtures("fargate_agent")
def test_each_has_its_parameter_through_a_fixture_beside_one_that_is_used_by_name_as_well(pair):
    assert [kind(each) for each in pair] == ["exec", "agent"]
    assert [env(each) for each in pair] == ["sandbox", "agent"]
"""
WISHES = """
@pytest.mark.parametrize("value", [pytest.param(1, marks=fargate(env={"P": "both"}))])
def test_of_the_mark(fargate_sandbox, fargate_agent, fargate_sandbox_factory, value): pass

@own
def test_of_the_sandbox(fargate_sandbox, fargate_agent, fargate_sandbox_factory): pass

@agents
def test_of_the_agent(fargate_sandbox, fargate_agent, fargate_sandbox_factory): pass
"""


def _run(pytester: pytest.Pytester, tests: str, *args: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=HELPERS + tests)
    return run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist", *args)


@pytest.mark.usefixtures("shared_engine_log")
def test_each_fixture_gives_what_it_says(pytester: pytest.Pytester) -> None:
    _run(pytester, TESTS, "--fargate-prelaunch=0").assert_outcomes(passed=4)


def test_a_parameter_is_for_its_own_fixture_and_a_mark_for_all_of_the_test(pytester: pytest.Pytester) -> None:
    items, _ = pytester.inline_genitems(pytester.makepyfile(HELPERS + WISHES))
    fixtures = ("fargate_sandbox", "fargate_agent", "fargate_sandbox_factory")
    assert [[keys_for(item, fixture) for fixture in fixtures] for item in items] == [
        [{"env": {"P": "both"}}, {"env": {"P": "both"}, "mode": "agent"}, {"env": {"P": "both"}}],
        [{"env": {"P": "sandbox"}}, {"mode": "agent"}, {}],
        [{}, {"env": {"P": "agent"}, "mode": "agent"}, {}],
    ]


def test_a_sandbox_of_each_is_launched_ahead_and_none_is_left(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    tests = "".join(f"def test_{number}(fargate_sandbox, fargate_agent): pass\n" for number in range(2))
    result = _run(pytester, tests, "--fargate-prelaunch=2", "--fargate-report-json=report.json")
    result.assert_outcomes(passed=2)
    assert shared_engine_log.calls("RunTask") == 4
    assert json.loads((pytester.path / "report.json").read_text())["counts"]["prelaunched_unused"] == 0

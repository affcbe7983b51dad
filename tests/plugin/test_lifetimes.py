"""A task lives as long as its test may take, and is told of where it does not."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.plugin import lifetimes
from pytest_fargate_sandbox.plugin.fixture_keys import keys_for
from pytest_fargate_sandbox.plugin.settings.run_settings import SETTINGS
from pytest_fargate_sandbox.plugin.wish import resolve

SHORT = """
import pytest

@pytest.mark.timeout(600)
@pytest.mark.fargate(ttl=60)
@pytest.mark.parametrize("n", range(3))
def test_marked(fargate_sandbox, n): pass

@pytest.mark.fargate(ttl=60, exec_timeout=90)
def test_command(fargate_sandbox_factory): pass

@pytest.mark.timeout(0)
@pytest.mark.fargate(ttl=60)
def test_without_end(fargate_sandbox): pass

@pytest.mark.timeout(60)
@pytest.mark.fargate(ttl=60, exec_timeout=90)
def test_ends_in_time(fargate_sandbox): pass

@pytest.mark.timeout(600)
@pytest.mark.fargate(ttl=60)
def test_without_sandbox(): pass
"""


def lifetimes_of(pytester: pytest.Pytester, source: str, *args: str) -> dict[str, int]:
    """What the task of each test gets, by the test's name."""
    items, _ = pytester.inline_genitems(pytester.makepyfile(f"import pytest\n{source}"), *args)
    resolved = {}
    for item in items:
        wish = resolve(EcsFargateConfig(), keys_for(item, "fargate_sandbox"), item.config.stash[SETTINGS], item)
        resolved[item.name] = wish.spec.config.max_task_lifetime_sec
    return resolved


def test_one_warning_tells_of_all_tests_with_the_same_time_outs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SHORT)
    result = pytester.runpytest_inprocess("--collect-only", "-Wdefault", "-q")
    text = result.stdout.str()
    assert text.count("LifetimeWarning") == 2
    result.stdout.fnmatch_lines(
        [
            "*test_marked?0? and 2 more: the task ends after 60 s, and pytest-timeout lets it take 600 s: *",
            "*::test_command: the task ends after 60 s, and `exec_timeout` lets it take 90 s: raise `ttl`, *",
        ]
    )


@pytest.mark.parametrize("said", ["--timeout=5000", "-otimeout=5000", ""])
def test_the_ttl_of_the_run_is_held_against_the_time_out_of_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    if not said:
        monkeypatch.setenv("PYTEST_TIMEOUT", "5000")
    pytester.makepyfile("def test_it(fargate_session_sandbox): pass")
    result = pytester.runpytest_inprocess("--collect-only", "-Wdefault", "--fargate-ttl=4000", *filter(None, [said]))
    result.stdout.fnmatch_lines(["*the task ends after 4000 s, and pytest-timeout lets it take 5000 s*"])


def test_without_pytest_timeout_its_words_mean_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = timeout: somebody else's")
    pytester.makepyfile(SHORT)
    text = pytester.runpytest_inprocess("--collect-only", "-Wdefault", "-p", "no:timeout").stdout.str()
    assert "pytest-timeout" not in text
    assert text.count("`exec_timeout` lets it take 90 s") == 1


def test_where_warnings_are_errors_they_are_those_of_the_tests_concerned(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SHORT)
    result = pytester.runpytest_inprocess("-Werror", "-k", "test_command or test_without_sandbox", "-p", "no:xdist")
    result.assert_outcomes(errors=1, passed=1, deselected=5)
    result.stdout.fnmatch_lines(
        ["*after 60 s, and `exec_timeout`* lets it take 90 s: raise `ttl` (of the marker, or --fargate-ttl)*"]
    )


def test_where_nobody_says_a_ttl_it_is_at_least_what_the_test_may_take(pytester: pytest.Pytester) -> None:
    source = """
@pytest.mark.timeout(30000)
def test_long(fargate_sandbox): pass

@pytest.mark.timeout(timeout=28800)
def test_another(fargate_sandbox): pass

@pytest.mark.fargate(exec_timeout=15000)
def test_command(fargate_sandbox): pass

@pytest.mark.fargate(ttl=100)
def test_said(fargate_sandbox): pass

def test_short(fargate_sandbox): pass
"""
    assert lifetimes_of(pytester, source, "--timeout=20") == {
        "test_long": 10 * 3600,
        "test_another": 9 * 3600,
        "test_command": 14400,
        "test_said": 100,
        "test_short": 14400,
    }
    assert lifetimes_of(pytester, source)["test_command"] == 6 * 3600


def test_a_ttl_that_somebody_said_is_not_changed(pytester: pytest.Pytester) -> None:
    source = "@pytest.mark.timeout(30000)\ndef test_it(fargate_sandbox): pass"
    assert lifetimes_of(pytester, source, "--fargate-ttl=14400") == {"test_it": 14400}
    (item,), _ = pytester.inline_genitems(pytester.makepyfile(f"import pytest\n{source}"))
    for said in (EcsFargateConfig(max_task_lifetime_sec=900), EcsFargateConfig(ssm_config="shared")):
        assert lifetimes.default_for(item, said, {}) == said.max_task_lifetime_sec

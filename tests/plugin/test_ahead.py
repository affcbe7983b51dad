"""What is launched ahead of need, and what is not."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.plugin import last_run
from pytest_fargate_sandbox.run.kind_notes import KindNotes
from tests.plugin.one_process import run, run_pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog


def test_a_run_begins_with_what_launches_and_tests_took_in_the_last_one(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    remembered = pytester.path / ".pytest_cache" / "v" / "fargate_sandbox" / "times"
    remembered.parent.mkdir(parents=True)
    remembered.write_text('{"": {"launch": 60, "busy": 1}, "another kind": {"launch": 5}}')
    pytester.makepyfile(
        """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_it(fargate_sandbox, n):
    fargate_sandbox.exec("sleep 0.5")
"""
    )
    result = run_pytest(pytester, "-p", "no:xdist")
    result.assert_outcomes(passed=3)
    assert shared_engine_log.most_alive() == 3, "there seemed to be need of all of them at once"
    assert shared_engine_log.calls("RunTask") == 3
    learnt = json.loads(remembered.read_text())
    assert 0 < learnt[""]["launch"] < 60
    assert learnt["another kind"] == {"launch": 5}


def test_where_nothing_can_be_remembered_only_pytests_own_cache_says_so(pytester: pytest.Pytester) -> None:
    """In a copy that can only be read, and where warnings are errors."""
    pytester.makefile("", stands_here="")
    config = pytester.parseconfigure("-o", "cache_dir=stands_here/cache")
    (pytester.path / "run").mkdir()
    with SharedState(pytester.path / "run").change() as document:
        KindNotes().note_launch(document, "a kind", 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        last_run.remember(config, pytester.path / "run")
    assert last_run.recall(config) is None


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--fixtures", "--fixtures-per-test", "--markers"])
def test_nothing_is_launched_where_no_test_runs(pytester: pytest.Pytester, engine_log: EngineLog, option: str) -> None:
    pytester.makepyfile("def test_it(fargate_sandbox): pass")
    assert pytester.runpytest_inprocess("-p", "no:cacheprovider", option).ret == 0
    assert engine_log.lines == []


def test_nothing_is_launched_where_a_module_cannot_be_collected(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    pytester.makepyfile(test_good="def test_it(fargate_sandbox): pass", test_broken="import nothing_like_it")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)
    assert engine_log.lines == []


def test_skipped_and_deselected_tests_are_not_prelaunched(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.mark.skip
def test_skipped(fargate_sandbox): pass

def test_left_out(fargate_sandbox): pass

def test_it(fargate_sandbox): pass
""",
        "-k", "not left_out", "--fargate-prelaunch=5",
    )  # fmt: skip
    result.assert_outcomes(passed=1, skipped=1, deselected=1)
    assert shared_engine_log.calls("RunTask") == 1


def test_what_was_prelaunched_and_not_needed_is_stopped_and_counted(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.mark.parametrize("n", range(9))
def test_it(fargate_sandbox, n):
    fargate_sandbox.exec("sleep 1")
    assert False
""",
        "-x", "--fargate-prelaunch=2",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["3 launched, 2 prelaunched and unused; *"])
    assert shared_engine_log.cut_off() == []

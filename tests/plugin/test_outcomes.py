"""Infrastructure trouble is an error that says so, and its test runs again as a whole."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest

from pytest_fargate_sandbox.leaves.errors import (
    ConfigError,
    ExecFailed,
    RemoteFileNotFound,
    SandboxLost,
    StartError,
    TransportError,
)
from pytest_fargate_sandbox.plugin.outcomes import infrastructure_error
from tests.plugin.one_process import run_pytest

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup  # pytest brings it along

LOST = SandboxLost("gone", cause="spot_reclaimed")


def caused_by(outer: Exception, inner: Exception) -> Exception:
    try:
        raise outer from inner
    except Exception as error:
        return error


def met_while_handling(inner: Exception, *, hidden: bool) -> Exception:
    try:
        try:
            raise inner
        except Exception:
            if hidden:
                raise AssertionError("other") from None
            raise AssertionError("other")  # noqa: B904
    except AssertionError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        TransportError("tunnel"),
        LOST,
        StartError("no capacity", transient=True),
        caused_by(AssertionError("x"), TransportError("tunnel")),
        caused_by(StartError("for good"), TransportError("tunnel")),
        met_while_handling(LOST, hidden=False),
    ],
)
def test_infrastructure_is_found_wherever_it_stands(error: Exception) -> None:
    assert infrastructure_error(error) is not None


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("1 != 2"),
        ConfigError("typo"),
        caused_by(ConfigError("typo"), TransportError("tunnel")),
        ExecFailed("command returned 1"),
        RemoteFileNotFound("no such file"),
        StartError("bad image", transient=False),
        SandboxLost("memory", cause="out_of_memory"),
        met_while_handling(LOST, hidden=True),
    ],
)
def test_everything_else_is_the_tests_own(error: Exception) -> None:
    assert infrastructure_error(error) is None


def test_infrastructure_is_found_in_a_group() -> None:
    group = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [LOST])])
    assert infrastructure_error(group) is LOST


PRELUDE = """
import pytest
from pytest_fargate_sandbox import SandboxLost, TransportError

LOST = SandboxLost("the task was reclaimed", cause="spot_reclaimed")
attempts = []

@pytest.fixture
def fargate_sandbox():
    attempts.append(len(attempts) + 1)
    return attempts[-1]
"""


def run(pytester: pytest.Pytester, source: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(PRELUDE + source)
    return run_pytest(pytester, "-p", "no:cacheprovider", *args)


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_test_that_met_it_once_runs_again_and_passes(pytester: pytest.Pytester, workers: str) -> None:
    result = run(
        pytester,
        """
def test_it(fargate_sandbox):
    print("output of attempt", fargate_sandbox)
    if fargate_sandbox == 1:
        raise LOST
""",
        workers, "-rA",
    )  # fmt: skip
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["output of attempt 2"])
    result.stdout.no_fnmatch_line("output of attempt 1")


def test_one_that_meets_it_again_is_an_error_not_a_failure(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(fargate_sandbox):\n    raise LOST\n", "--junit-xml=junit.xml")
    result.assert_outcomes(errors=1, failed=0)
    result.stdout.fnmatch_lines(["*Infrastructure error*", "not a failure of the test: the task was reclaimed*"])
    case = ElementTree.parse(pytester.path / "junit.xml").find(".//testcase")
    assert case is not None
    assert case.find("failure") is None
    assert case.find("error") is not None
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties["fargate_infrastructure"] == "SandboxLost: spot_reclaimed"


def test_a_failed_assertion_stays_a_failure_and_runs_once(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(fargate_sandbox):\n    assert fargate_sandbox == 5\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       assert 1 == 5"])


def test_the_marker_says_how_often(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.fargate(retries=0)
def test_never(fargate_sandbox):
    if len(attempts) == 1: raise LOST

@pytest.mark.fargate(retries=3)
def test_often(fargate_sandbox):
    if len(attempts) < 5: raise LOST
""",
    )
    result.assert_outcomes(errors=1, passed=1)


def test_xfail_does_not_swallow_it(pytester: pytest.Pytester) -> None:
    source = "@pytest.mark.xfail(reason='known')\ndef test_it(fargate_sandbox):\n    raise LOST\n"
    run(pytester, source).assert_outcomes(errors=1, xfailed=0)


def test_one_in_the_setup_of_a_users_fixture_counts_and_the_fixture_is_made_again(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
made = []

@pytest.fixture(scope="module")
def service():
    made.append(1)
    if len(made) == 1:
        raise TransportError("tunnel is down")
    return len(made)

def test_it(fargate_sandbox, service):
    assert service == 2
""",
    )
    result.assert_outcomes(passed=1)


def test_one_in_the_teardown_counts(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.fixture
def cleans(fargate_sandbox):
    yield
    if fargate_sandbox == 1:
        raise TransportError("tunnel is down")

def test_it(cleans): pass
""",
    )
    result.assert_outcomes(passed=1)


FAILS_SLOWLY = """
@pytest.fixture
def cleans(fargate_sandbox):
    yield
    print("TORN DOWN")
    if fargate_sandbox == 1:
        raise TransportError("tunnel is down")

def test_it(cleans, fargate_sandbox):
    assert fargate_sandbox == 3
"""


@pytest.mark.parametrize("option", ["-x", "--maxfail=5"])
def test_a_failure_that_may_end_the_run_is_told_before_its_fixtures_end(pytester: pytest.Pytester, option: str) -> None:
    pytester.makeconftest("def pytest_runtest_logreport(report): print(f'TOLD {report.when} {report.outcome}')")
    result = run(pytester, FAILS_SLOWLY, option, "-s")
    result.stdout.fnmatch_lines(["*TOLD setup passed", "*TOLD call failed", "*TORN DOWN", "*TOLD teardown failed"])
    result.assert_outcomes(failed=1, errors=1)  # it was told, so it is not run again


def test_a_failure_that_ends_nothing_waits_for_what_its_fixtures_meet(pytester: pytest.Pytester) -> None:
    result = run(pytester, FAILS_SLOWLY, "-s")
    result.assert_outcomes(failed=1)
    assert result.stdout.str().count("TORN DOWN") == 2, "it ran again"


def test_subtests_of_an_abandoned_attempt_are_not_reported(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(fargate_sandbox, subtests):
    for part in "ab":
        with subtests.test(part):
            assert fargate_sandbox == 2 or part == "b"
            if fargate_sandbox == 1: raise LOST
""",
        "-v",
    )
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*SUBFAILED*")


def test_one_in_a_subtest_makes_the_whole_test_an_error(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(fargate_sandbox, subtests):
    with subtests.test("part"):
        raise LOST
""",
    )
    assert result.parseoutcomes() == {"errors": 2}


def test_unittest_classes_are_run_again_as_well(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import unittest

class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _sandbox(self, fargate_sandbox):
        self.attempt = fargate_sandbox

    def test_it(self):
        if self.attempt == 1: raise LOST
""",
    )
    result.assert_outcomes(passed=1)


def test_the_debugger_is_not_entered_on_an_attempt_that_runs_again(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_exception_interact(report):
            print("INTERACT", report.when)
        """
    )
    source = "def test_it(fargate_sandbox):\n    if fargate_sandbox == 1: raise LOST\n    assert False\n"
    result = run(pytester, source, "-s")
    assert result.stdout.str().count("INTERACT") == 1


def test_without_our_fixtures_nothing_is_run_again(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it():\n    attempts.append(1)\n    assert len(attempts) == 1\n    raise LOST\n")
    result.assert_outcomes(errors=1)

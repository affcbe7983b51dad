"""A sandbox ends with the fixture that made it, however the fixture came by the factory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

CONFTEST = """
import pytest

@pytest.fixture(scope="module", params=["first", "second"])
def toolbox(request, fargate_session_factory):
    return fargate_session_factory(env={"NAME": request.param})

@pytest.fixture(scope="session")
def through_another(fargate_session_factory):
    return lambda: fargate_session_factory()

@pytest.fixture(scope="class")
def of_a_class(through_another):
    return through_another()

@pytest.fixture(scope="class")
def of_another_class(request):
    with request.getfixturevalue("fargate_session_factory")() as sandbox:
        yield sandbox
"""
OF_THE_MODULE = """
def test_toolbox(toolbox):
    assert toolbox.exec("echo $NAME").stdout in ("first\\n", "second\\n")
"""
OF_CLASSES = """
class TestOne:
    def test_it(self, of_a_class): assert of_a_class.exec("true").ok

class TestOther:
    def test_it(self, of_another_class): assert of_another_class.exec("echo mine").return_code == 5
"""
FAILING = """
import pytest

made = []

@pytest.fixture(scope="module")
def settles_in(fargate_session_factory):
    made.append(fargate_session_factory())
    assert len(made) == 3

@pytest.mark.flaky(reruns=2)
def test_it(settles_in):
    assert [sandbox.is_running for sandbox in made] == [False, False, True]
"""


@pytest.mark.needs("rerunfailures")
def test_it_ends_with_its_module_class_or_parameter_and_with_a_set_up_that_failed(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a=OF_THE_MODULE + OF_CLASSES, test_b=FAILING, test_c=OF_THE_MODULE)
    result = run_pytest(pytester, "-p", "no:xdist", "--fargate-max-tasks=2")
    assert result.parseoutcomes() == {"passed": 6, "failed": 1, "rerun": 2}
    result.stdout.fnmatch_lines(["9 launched; *"])
    assert result.stdout.str().count("- Sandbox test-") == 1, "of the failed test, the one that it had"
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_who_asks_for_a_tests_own_in_a_wider_scope_is_told_what_to_take(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.fixture(scope="module")
def toolbox(fargate_sandbox_factory):
    return fargate_sandbox_factory()

def test_it(toolbox): pass
def test_again(toolbox): pass
"""
    )
    result = run_pytest(pytester, "-p", "no:xdist")
    result.assert_outcomes(errors=2)
    told = "fargate_session_factory is for fixtures of any scope: make(**keys) -> sandbox that ends with the fixture."
    assert result.outlines.count(told) == 2


@pytest.mark.usefixtures("shared_engine_log")
def test_a_fixture_that_asks_as_it_runs_is_noticed_where_nothing_else_asks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
        import pytest

        made = []

        @pytest.fixture(scope="module")
        def sandbox(request):
            made.append(request.getfixturevalue("fargate_session_factory")())
            return made[0]

        def test_it(sandbox): assert sandbox.exec("true").ok
        """,
        test_b="""
        import test_a

        def test_it(): assert not test_a.made[0].is_running
        """,
    )
    run_pytest(pytester, "-p", "no:xdist").assert_outcomes(passed=2)

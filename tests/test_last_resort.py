"""No test of ours holds up a whole run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    import pytest

_CONFTEST = """
from tests import last_resort
last_resort.SECONDS = 0.5
"""
_TESTS = """
import time, pytest

@pytest.fixture
def server():
    yield
    time.sleep(300)

def test_whose_end_hangs(server): pass
def test_behind_it(): pass
"""


def test_a_worker_whose_test_does_not_end_is_replaced(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    pytester.makeconftest(_CONFTEST)
    pytester.makepyfile(_TESTS)
    result = run_pytest(pytester, "-n1", "-p", "tests.last_resort", timeout=60)
    result.stdout.fnmatch_lines(["*crashed while running*::test_whose_end_hangs*"])
    result.stderr.fnmatch_lines(["*, line * in server"])
    result.assert_outcomes(passed=2, errors=1)

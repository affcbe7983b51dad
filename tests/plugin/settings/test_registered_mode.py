"""A mode that a conftest registers is a word of the marker and of the option, and a test gets its sandbox in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.one_process import run_pytest

CONFTEST = """
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES, Row
from tests.sandbox.test_toy_mode import ServedFiles

MODES["served"] = Row("served-files", ServedFiles)
"""

TESTS = """
import urllib.request
import pytest

def hosts(sandbox):
    with urllib.request.urlopen(f"http://127.0.0.1:{sandbox.local_port}/hosts", timeout=10) as answer:
        return answer.read()

@pytest.mark.fargate(mode="served")
def test_it(fargate_sandbox):
    assert b"localhost" in hosts(fargate_sandbox)

@pytest.mark.fargate(mode="severed")
def test_misspelt(fargate_sandbox):
    pass
"""


@pytest.mark.usefixtures("shared_engine_log")
def test_the_marker_the_option_and_the_errors_know_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    result = run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*expected 'exec' or 'agent' or 'ecs-exec' or 'served'; did you mean 'served'?*"])
    told = run_pytest(pytester, "--markers")
    told.stdout.fnmatch_lines(["*mode: 'exec', 'agent', 'ecs-exec' or 'served'*"])

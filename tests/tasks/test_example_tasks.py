"""The example tasks say what the README says that they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from tests.engine_of_tests import EngineOfTests

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.needs("namespaces")


def outcomes(pytester: pytest.Pytester, engine: EngineOfTests, *args: str) -> dict[str, str]:
    assert engine.engine.directory, "it runs, and goes on as long as we do"
    done = run_pytest(
        pytester,
        str(EXAMPLES / "tasks"),
        "--fargate-tasks",
        "-rA",
        "-n0",
        "-c",
        "/dev/null",
        "-pno:cacheprovider",
        *args,
    )
    lines = [line.partition(" ") for line in done.outlines if line.startswith(("PASSED ", "FAILED ", "ERROR "))]
    return {named.partition(" - ")[0].rpartition("tasks/")[2]: outcome for outcome, _, named in lines}


@pytest.mark.long
def test_four_are_sound_and_one_is_not(pytester: pytest.Pytester, engine: EngineOfTests, soak: bool) -> None:
    """That the four give nothing for nothing is shown at full length alone; below, one gives a hasty agent nothing."""
    some = "oracle or nop" if soak else "oracle or unsound"
    found = outcomes(pytester, engine, "--fargate-adversaries=none", "-k", some)
    failed = [test for test, outcome in found.items() if outcome != "PASSED"]
    assert (len(found), failed) == (10 if soak else 6, ["unsound/task.toml::nop"])


def test_agents_are_graded_and_who_cheats_gets_nothing(pytester: pytest.Pytester, engine: EngineOfTests) -> None:
    found = outcomes(pytester, engine, f"--fargate-submissions={EXAMPLES / 'submissions'}")
    assert {test.removeprefix("primes/task.toml::"): outcome for test, outcome in found.items()} == {
        "careful::1": "PASSED",
        "careful::2": "PASSED",
        "hasty::1": "FAILED",
        "cheating::1": "FAILED",
    }


def test_nothing_is_wrong_with_their_folders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "lint", str(EXAMPLES / "tasks")]) == 0
    assert capsys.readouterr().out == "5 tasks: 0 errors, 0 that cannot be had here, 0 warnings\n"

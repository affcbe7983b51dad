from __future__ import annotations

from importlib.resources import files

import pytest

from pytest_fargate_sandbox.leaves.outcome_words import OUTCOMES, gravest


@pytest.mark.parametrize(
    ("phases", "called"),
    [
        (["passed", "passed", "passed"], "passed"),
        (["passed", "skipped", "passed"], "skipped"),
        (["passed", "xfailed", "passed"], "xfailed"),
        (["passed", "xpassed", "passed"], "xpassed"),
        (["passed", "failed", "passed"], "failed"),
        (["passed", "failed", "error"], "error"),
        (["skipped", "passed", "error"], "error"),
        ([], "passed"),
    ],
)
def test_a_test_is_called_by_the_gravest_of_its_phases(phases: list[str], called: str) -> None:
    assert gravest(*phases) == gravest(*reversed(phases)) == called


def test_a_page_has_a_colour_for_each_and_no_two_look_the_same() -> None:
    style = files("pytest_fargate_sandbox.page").joinpath("assets", "page.css").read_text()
    for outcome in OUTCOMES.values():
        assert f".{outcome.hue} {{ color: var(--{outcome.hue}); }}" in style
        assert style.count(f"--{outcome.hue}: #") == 2  # light and dark
    assert len({outcome.glyph for outcome in OUTCOMES.values()}) == len(OUTCOMES)

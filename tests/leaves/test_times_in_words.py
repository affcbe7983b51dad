from __future__ import annotations

import time

import pytest

from pytest_fargate_sandbox.leaves.times_in_words import clock, span, span_in_column


@pytest.mark.parametrize(
    ("seconds", "sentence", "column"),
    [
        (0.04, "0.0 s", "0m00s"),
        (99.94, "99.9 s", "1m39s"),
        (100, "2 min", "1m40s"),
        (5399, "90 min", "1h29m"),
        (5400, "1.5 h", "1h30m"),
        (-3, "-3.0 s", "0m00s"),  # a clock was set back
    ],
)
def test_a_span_is_told_as_it_is_worth(seconds: float, sentence: str, column: str) -> None:
    assert (span(seconds), span_in_column(seconds)) == (sentence, column)


def test_a_moment_is_told_as_a_clock_here_shows_it() -> None:
    assert clock(time.mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1))) == "03:04:05"

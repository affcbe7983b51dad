"""Numbers on command lines."""

from __future__ import annotations

import argparse

import pytest

from pytest_fargate_sandbox.leaves.number_within import number_within


def test_a_number_is_of_the_kind_of_its_bounds() -> None:
    assert number_within(0, 65535, "a port")("65535") == 65535
    assert number_within(0.0, 1e9, "seconds")("0.5") == 0.5


@pytest.mark.parametrize("text", ["-1", "65536", "1.5", "", "x", "nan", "inf", "1e400", "9" * 5000])
def test_what_is_not_within_is_told_with_the_bounds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r": expected a port, 0 to 65535$"):
        number_within(0, 65535, "a port")(text)


def test_no_number_is_within_others_bounds_for_being_none() -> None:
    for text in ("nan", "inf", "-0.1"):
        with pytest.raises(argparse.ArgumentTypeError, match=r": expected seconds, 0 to 31536000$"):
            number_within(0.0, 31536000.0, "seconds")(text)

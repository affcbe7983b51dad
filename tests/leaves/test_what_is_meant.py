from __future__ import annotations

import pytest

from pytest_fargate_sandbox.leaves.what_is_meant import meant_by

KNOWN = [("a1", "first"), ("a12", "other"), ("a", "x"), ("b", "first-b")]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a1", ["a1"]),  # though it is how another begins
        ("a12", ["a12"]),
        ("ot", ["a12"]),
        ("first", ["a1"]),
        ("f", ["a1", "b"]),
        ("c", []),
        ("", ["a1", "a12", "a", "b"]),
    ],
)
def test_who_is_called_just_so_is_meant_before_those_whose_names_begin_so(said: str, meant: list[str]) -> None:
    assert [thing[0] for thing in meant_by(said, KNOWN, lambda thing: thing)] == meant

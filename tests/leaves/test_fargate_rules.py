"""What Fargate allows."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.leaves.fargate_rules import size_problem, size_with

DIGITS = "1" * 5000


@pytest.mark.parametrize(
    ("cpu", "memory", "size"),
    [
        (None, None, ("1024", "2048")),
        ("2048", None, ("2048", "4096")),
        ("4096", None, ("4096", "8192")),
        ("256", None, ("256", "2048")),
        (512, None, (512, "2048")),
        (None, "512", ("256", "512")),
        (None, "1024", ("512", "1024")),
        (None, "8192", ("1024", "8192")),
        (None, "16384", ("2048", "16384")),
        ("256", "512", ("256", "512")),
        ("256", "8192", ("256", "8192")),
        ("many", None, ("many", "2048")),
        (None, "777", ("1024", "777")),
        (DIGITS, None, (DIGITS, "2048")),
    ],
)
def test_of_a_size_that_is_half_said_the_other_half_fits(
    cpu: str | None, memory: str | None, size: tuple[str, str]
) -> None:
    assert size_with(cpu, memory, ("1024", "2048")) == size
    if None in (cpu, memory) and size[0] not in ("many", DIGITS) and size[1] != "777":
        assert size_problem(int(size[0]), int(size[1])) is None

"""Root of a sandbox tries every way out that we know, and says where it got: the rows of docs/security.md."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.hostile.grounds import probed_on
from tests.hostile.page import PAGE, with_tables
from tests.hostile.rows import ALLOWED, ELSEWHERE, NO, REACHED, RUNNERS, YES

_ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.root  # who puts what nobody may reach where it lies on a machine
@pytest.mark.parametrize("runner", RUNNERS)
def test_what_root_of_a_sandbox_reaches_is_what_the_page_says(
    runner: str, subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as home:  # not under pytest's own, which only its owner may enter
        Path(home).chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", f"{home}/cache")
        ground = probed_on(runner, Path(home))
    assert ground.outcomes.keys() == {row.name for row in (*REACHED, *ALLOWED)}
    for row in (*REACHED, *ALLOWED):
        with subtests.test(row.what):
            told = row.cells[RUNNERS.index(runner)]
            if told == NO:
                assert ground.outcomes[row.name] == []
            elif told == YES:
                assert ground.outcomes[row.name] != []
            assert not any("a probe that" in each for each in ground.outcomes[row.name])
    with subtests.test("the host's inodes, seen from outside"):
        assert ground.changes == []


def test_the_page_has_these_rows() -> None:
    """``python -m tests.hostile.page`` writes them."""
    text = PAGE.read_text()
    assert with_tables(text) == text


@pytest.mark.parametrize("tests", [tests for *_, tests in ELSEWHERE])
def test_what_is_held_elsewhere_has_its_tests(tests: str) -> None:
    assert [test for test in tests.split(", ") if not (_ROOT / test).exists()] == []

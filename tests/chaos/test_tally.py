"""The counting itself: what is wrong is counted as what it is."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import MISBEHAVED, SandboxLost, TransportError
from tests.chaos import trial
from tests.chaos.faults import Strike
from tests.chaos.tally import HEADER, Tally, healing_times, write_into
from tests.chaos.trial import Act, Extent, perform

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_PAGE = f"before\n<!-- table -->\n{HEADER}\n| a | x | 1 |\n| b | x | 2 |\n<!-- end of table -->\nbehind\n"


def _counted(*errors: Exception | None, written_down: dict[int, int]) -> Tally:
    acts = [Act(number, 0.0, 1.0, error) for number, error in enumerate(errors)]
    tally = Tally("acts", "here", seed=1)
    tally.count(acts, [Strike("cut", 0.0)], Counter(written_down))
    return tally


def test_what_was_told_and_not_done_is_lost_and_what_was_done_twice_is_doubled() -> None:
    tally = _counted(None, None, None, written_down={0: 1, 1: 2})
    assert (tally.done, tally.lost, tally.doubled, tally.is_clean) == (3, [2], [1], False)


def test_an_error_that_says_so_may_have_been_done_once_or_not_at_all() -> None:
    errors = [TransportError("the way"), SandboxLost("the task")]
    tally = _counted(*errors, written_down={0: 1})
    assert (len(tally.honest), tally.is_clean) == (2, True)
    assert _counted(*errors, written_down={0: 2}).doubled == [0]


def test_any_other_error_is_a_failure_and_so_is_to_call_an_honest_server_a_liar() -> None:
    tally = _counted(AssertionError(), EOFError(), TransportError("it lies", kind=MISBEHAVED), written_down={})
    assert (len(tally.failed), tally.honest, tally.is_clean) == (3, [], False)


def test_what_is_left_behind_is_not_clean() -> None:
    tally = Tally("acts", "here", seed=1)
    tally.count_left({"descriptors": 0, "threads": 1})
    tally.count_left({"descriptors": 0, "mounts": 2})
    assert (tally.left, tally.is_clean) == ({"descriptors": 0, "threads": 1, "mounts": 2}, False)


def test_healing_is_the_time_until_something_begun_later_is_done() -> None:
    acts = [Act(1, 0.0, 2.0, None), Act(2, 1.1, 1.5, TimeoutError()), Act(3, 1.2, 4.0, None), Act(4, 2.0, 3.0, None)]
    assert healing_times(acts, [Strike("cut", 1.0), Strike("cut", 2.5)]) == [2.0]


def test_an_act_that_does_not_come_back_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        threads = 2
        release = threading.Event()

        def act(self, number: int) -> None:
            if number == 2:
                self.release.wait(20)

    monkeypatch.setattr(trial, "HANGS_AFTER", 0.2)
    acts = perform(Hanging(), Extent(3))  # type: ignore[arg-type]
    Hanging.release.set()
    assert {act.number: type(act.error).__name__ for act in acts} == {1: "NoneType", 2: "AssertionError", 3: "NoneType"}


def test_a_row_takes_the_place_of_the_one_that_said_the_same(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(_PAGE)
    write_into(page, ["| b | x | 3 |", "| b | y | 4 |"])
    assert page.read_text() == _PAGE.replace("| b | x | 2 |\n", "| b | x | 3 |\n| b | y | 4 |\n")


def test_the_page_has_the_columns_that_there_are(pytestconfig: pytest.Config) -> None:
    page = pytestconfig.rootpath / "docs/reliability.md"
    assert f"<!-- table -->\n{HEADER}\n" in page.read_text()

"""Which behaviours of the one list a server is held to that no task is around."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.conformance import BEHAVIOURS

if TYPE_CHECKING:
    import pytest

    from pytest_fargate_sandbox.conformance import Behaviour

DEAR = {
    "a_hundred_megabytes_of_output_arrive_whole",
    "a_reader_never_sees_half_a_file",
    "a_transfer_has_the_time_that_it_is_given",
    "commands_and_files_share_the_way",
    "many_commands_at_once_do_not_mix",
    "many_small_files_travel_as_one",
}
"""Much is moved, or done, in them: a short run has them once, in tests/sandbox/test_fargate_conformance.py."""


def behaviours_of(config: pytest.Config) -> list[Behaviour]:
    assert {each.name for each in BEHAVIOURS} >= DEAR
    return [each for each in BEHAVIOURS if config.getoption("soak") or each.name not in DEAR]

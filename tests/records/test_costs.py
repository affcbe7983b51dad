"""What tasks cost by the price list."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.records.costs import task_cost_usd


@pytest.mark.parametrize(
    ("task", "usd"),
    [
        ({"cpu": 1024, "memory": 1024, "seconds": 3600}, 0.04048 + 0.004445),
        ({"cpu": 4096, "memory": 8192, "seconds": 1}, (4 * 0.04048 + 8 * 0.004445) / 60),
        ({"cpu": 4096, "memory": 8192, "seconds": 60}, (4 * 0.04048 + 8 * 0.004445) / 60),
        ({"cpu": 1024, "memory": 1024, "seconds": 3600, "spot": True}, 0.3 * (0.04048 + 0.004445)),
        (
            {"cpu": 1024, "memory": 1024, "seconds": 3600, "spot": True, "public_address": True},
            0.3 * (0.04048 + 0.004445) + 0.005,
        ),
        ({"cpu": 1024, "memory": 1024, "seconds": 3600, "storage_gib": 120}, 0.04048 + 0.004445 + 100 * 0.000111),
    ],
)
def test_a_task_is_billed_by_the_second_one_minute_at_least(task: dict, usd: float) -> None:
    assert task_cost_usd(**task) == pytest.approx(usd)

"""What tasks cost, by Fargate's price list: an estimate, since regions differ and discounts are nobody's business."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox.records.ledger import Entry

VCPU_HOUR_USD = 0.04048
GB_HOUR_USD = 0.004445
"""us-east-1, Linux/x86, on demand."""
STORAGE_GB_HOUR_USD = 0.000111
"""Beyond the 20 GiB that come with a task."""
PUBLIC_ADDRESS_HOUR_USD = 0.005
"""https://aws.amazon.com/vpc/pricing/ (public IPv4 addresses); Spot makes it no cheaper."""
SPOT_SHARE = 0.3
LEAST_SECONDS = 60.0


def task_cost_usd(
    *,
    cpu: int,
    memory: int,
    seconds: float,
    storage_gib: int | None = None,
    spot: bool = False,
    public_address: bool = False,
) -> float:
    """One task, billed by the second from image pull to stop, one minute at least."""
    hours = max(seconds, LEAST_SECONDS) / 3600
    hourly = cpu / 1024 * VCPU_HOUR_USD + memory / 1024 * GB_HOUR_USD
    hourly += max(0, (storage_gib or 20) - 20) * STORAGE_GB_HOUR_USD
    address = PUBLIC_ADDRESS_HOUR_USD if public_address else 0.0
    return (hourly * (SPOT_SHARE if spot else 1.0) + address) * hours


def entry_cost_usd(entry: Entry) -> float:
    """The tasks of a ledger's entry, up to now where one lives; nothing where their size was not written down."""
    facts = entry.facts
    if not facts.get("cpu"):
        return 0.0
    now = time.time()
    return sum(
        (
            task_cost_usd(
                cpu=int(facts["cpu"]),
                memory=int(facts["memory"]),
                seconds=(now if ended is None else ended) - began,
                storage_gib=facts.get("storage_gib"),
                spot=bool(facts.get("spot")),
                public_address=bool(facts.get("public_address")),
            )
            for began, ended in entry.lives
        ),
        0.0,
    )

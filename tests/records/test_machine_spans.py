from __future__ import annotations

import pytest

from pytest_fargate_sandbox.records.ledger import Entry
from pytest_fargate_sandbox.records.machine_spans import spans_of


@pytest.mark.parametrize(
    ("moments", "spans"),
    [
        (
            "opened:1 phase.image:2 phase.launch:3 launched:5 phase.server:6 ready:7 tested:9 used:10 stopped:12",
            "definition:1-2 image:2-3 launch:3-6 server:6-7 idle:7-10 stop:10-12",
        ),
        (
            "opened:1 phase.launch:1 launched:2 shelved:3 claimed:6 phase.server:7 ready:8",
            "launch:1-3 shelf:3-6 address:6-7 server:7-8 idle:8-",
        ),
        ("opened:1 phase.launch:1 refused:2 launched:3 shelved:3 stopped:9", "launch:1-3 shelf:3-9"),
        ("opened:1 phase.launch:2 refused:3 given_up:4", "definition:1-2 launch:2-4"),
        ("opened:1 launched:1 ready:1 phase.tunnel:5 stopped:6", "idle:1-5 tunnel:5-6"),
        ("opened:1 phase.launch:1 launching:1 launched:2 stopped:3 phase.address:4 phase.tunnel:5", "launch:1-3"),
        (
            "opened:1 phase.launch:1 launching:1 launched:2 stopped:3 phase.launch:4 launching:4 launched:5 ready:6",
            "launch:1-3 launch:4-6 idle:6-",
        ),
    ],
    ids=[
        "used",
        "taken from the shelf",
        "never used",
        "never launched",
        "left by another run",
        "ended by another",
        "tried again",
    ],
)
def test_a_machines_life_is_told_in_spans(moments: str, spans: str) -> None:
    entry = Entry("id")
    for moment in moments.split():
        event, when = moment.split(":")
        event, _, word = event.partition(".")
        entry.events.append(event)
        entry.moments.append((event, float(when), word))
    told = [f"{name}:{began:.0f}-{'' if ended is None else f'{ended:.0f}'}" for name, began, ended in spans_of(entry)]
    assert " ".join(told) == spans

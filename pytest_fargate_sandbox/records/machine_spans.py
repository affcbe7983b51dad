"""What a machine did when, from its ledger's lines: its phases one after the other, and what lay between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fargate_sandbox.records.ledger import Entry

SHELF, IDLE, STOP = "shelf", "idle", "stop"
"""Launched ahead and not yet taken; ready, whether a test has it or not; nobody's any more, until it has stopped."""

_BEGINS = {"opened": "definition", "shelved": SHELF, "claimed": "address", "ready": IDLE, "given_up": ""}
_LAST_USES = ("tested", "used")


def spans_of(entry: Entry) -> list[list[Any]]:
    """``[name, began, ended]``, in order; who has not ended yet has None for it."""
    spans: list[list[Any]] = []
    last_use, before_its_end = 0.0, None
    for event, when, word in entry.moments:
        name = word if event == "phase" else _BEGINS.get(event)
        if event in _LAST_USES:
            last_use = when
        elif event == "stopped":
            _end(spans, last_use, when)
            before_its_end = len(spans)
        elif name is not None and not (spans and spans[-1][2] is None and spans[-1][0] == name):
            _begin(spans, name, when)
    if before_its_end is not None and entry.is_over:  # whoever was starting it did not know that another had ended it
        del spans[before_its_end:]
    return [span for span in spans if span[0] and span[1] != span[2]]


def _begin(spans: list[list[Any]], name: str, when: float) -> None:
    if spans and spans[-1][2] is None:
        spans[-1][2] = when
    spans.append([name, when, None])


def _end(spans: list[list[Any]], last_use: float, when: float) -> None:
    """A machine that nobody has used any more was being stopped; one that was never ready has had no last use."""
    if spans and spans[-1][2] is None:
        if spans[-1][0] == IDLE and last_use:
            _begin(spans, STOP, max(last_use, spans[-1][1]))
        spans[-1][2] = when

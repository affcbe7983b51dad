"""What the engine keeps of a log, however much a container writes."""

from __future__ import annotations

import uuid
import weakref
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.ecs.log_streams import LogStream

_MIB = 1 << 20


@pytest.fixture
def flood() -> tuple[LogStream, Any]:
    """A stream, and what moto has of it, which is loaded by who runs this and not by all who collect it."""
    from pytest_fargate_sandbox.local.ecs.log_streams import LogStream
    from pytest_fargate_sandbox.local.moto_services import backend

    group = f"/{uuid.uuid4().hex}"
    stream = LogStream(group, "flood", create_group=True)
    return stream, backend("logs").groups[group].streams["flood"]


def test_the_newest_of_a_log_that_never_ends_is_kept_and_takes_bounded_memory(
    flood: tuple[LogStream, Any],
) -> None:
    stream, kept = flood
    line = b"x" * 1000 + b"\n"
    most = 0
    stream.write(b"the first\n")
    first = weakref.ref(kept.events[0])
    for _ in range(60):
        stream.write(line * 1000)
        most = max(most, sum(len(event.message) for event in kept.events))
    stream.write(b"the last\n")
    assert 8 * _MIB < most < 33 * _MIB
    assert kept.events[-1].message == "the last"
    assert first() is None  # and nobody else has it


def test_empty_lines_count_too(flood: tuple[LogStream, Any]) -> None:
    stream, kept = flood
    for _ in range(3):
        stream.write(b"\n" * 20_000)
    assert len(kept.events) < 50_000

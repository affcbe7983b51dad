"""The last line of each build's log, for who looks at a run: it is asked for by him, and by nobody else."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.log_tail import stream_tail
from pytest_fargate_sandbox.records.standing import BUILDING, standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.records.ledger import Entry

_ASK_EVERY_SEC = 2.0
_LINES = 5
"""Of which the last that says anything is shown."""


class BuildNews:
    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._asks_next = 0.0

    def lines(self, entries: Iterable[Entry]) -> dict[str, str]:
        """By the ids of entries, as they came; none of builds that have said nothing."""
        if time.monotonic() >= self._asks_next:
            told = [entry for entry in entries if entry.facts.get("build") and _builds(entry)]
            for entry in told:
                with contextlib.suppress(AwsError):  # asked again soon
                    self._lines[entry.id] = _last_line(entry) or self._lines.get(entry.id, "")
            self._asks_next = time.monotonic() + _ASK_EVERY_SEC
        return {name: line for name, line in self._lines.items() if line}


def _builds(entry: Entry) -> bool:
    stands = standing(entry)
    return stands is not None and stands.state == BUILDING


def _last_line(entry: Entry) -> str:
    aws = find_again(entry.facts)
    builds = aws.call("codebuild", "BatchGetBuilds", ids=[entry.facts["build"]])["builds"] if aws else []
    return _said(aws, builds[0]) if aws and builds else ""


def _said(aws: Aws, build: dict[str, Any]) -> str:
    logs = build.get("logs") or {}
    if not logs.get("groupName") or not logs.get("streamName"):
        return ""
    tail = stream_tail(aws, logs["groupName"], logs["streamName"], _LINES)
    return next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")

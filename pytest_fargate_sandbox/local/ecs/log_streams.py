"""Streams in CloudWatch Logs: of a container, as its ``logConfiguration`` says, and of whoever else writes one."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.engine_credentials import REGION
from pytest_fargate_sandbox.local.moto_services import backend

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_EVENT_BYTES = 256 * 1024 - 26
_KEPT_BYTES = 16 << 20
_BYTES_OF_AN_EVENT = 600
"""Beside its text, in moto's memory (measured)."""

_lock = threading.Lock()
"""moto's streams are not safe to write from several threads."""


class LogGroupMissing(Exception):
    """The text is what Fargate writes as the reason of the stopped task."""


class LogStream:
    """One stream. Lines become events; the last may lack its newline.

    The newest are kept: a container may write for ever, and it is our memory that it would fill.
    """

    def __init__(self, group: str, stream: str, *, region: str = REGION, create_group: bool) -> None:
        self._logs: Any = backend("logs", region)
        self._group, self._stream = group, stream
        self._rest = b""
        self._unseen_bytes = 0
        with _lock:
            self._create(create_group)

    def _create(self, create_group: bool) -> None:
        if self._group not in self._logs.groups:
            if not create_group:
                raise LogGroupMissing(
                    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 "
                    "times: failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, "
                    f"ResourceNotFoundException: The specified log group does not exist: {self._group}"
                )
            self._logs.create_log_group(self._group, {})
        self._logs.ensure_log_stream(self._group, self._stream)

    def write(self, output: bytes) -> None:
        *lines, self._rest = (self._rest + output).split(b"\n")
        if len(self._rest) > _LONGEST_EVENT_BYTES:
            lines.append(self._rest)
            self._rest = b""
        self._put_bytes(lines)

    def close(self) -> None:
        rest, self._rest = self._rest, b""
        if rest:
            self._put_bytes([rest])

    def _put_bytes(self, lines: list[bytes]) -> None:
        if lines:
            self.put(*(line.decode("utf-8", "replace") for line in lines))

    def put(self, *messages: str) -> None:
        """An event for each."""
        millis = int(time.time() * 1000)
        events = [{"timestamp": millis, "message": message} for message in messages]
        with _lock:
            if self._group in self._logs.groups:  # somebody may have deleted it meanwhile
                self._logs.ensure_log_stream(self._group, self._stream)
                self._logs.put_log_events(self._group, self._stream, events)
                self._unseen_bytes += sum(map(_size, messages))
                if self._unseen_bytes > _KEPT_BYTES:
                    self._unseen_bytes = 0
                    self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        events = self._logs.groups[self._group].streams[self._stream].events
        sizes = itertools.accumulate(_size(event.message) for event in reversed(events))
        kept = sum(1 for _ in itertools.takewhile(lambda size: size <= _KEPT_BYTES, sizes))
        del events[: len(events) - kept]


def _size(message: str) -> int:
    return len(message) + _BYTES_OF_AN_EVENT


def open_log(definition: Mapping[str, Any], task_id: str) -> LogStream | None:
    """The stream ``prefix/container/task`` that ``definition`` asks for, or None where the output goes nowhere."""
    configuration = definition.get("logConfiguration") or {}
    if configuration.get("logDriver") != "awslogs":
        return None
    options = configuration.get("options") or {}
    return LogStream(
        options["awslogs-group"],
        f"{options['awslogs-stream-prefix']}/{definition['name']}/{task_id}",
        region=options.get("awslogs-region", REGION),
        create_group=options.get("awslogs-create-group", "").lower() == "true",
    )

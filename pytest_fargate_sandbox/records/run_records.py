"""What is kept of a run when it is over, for whoever looks back: how its tests came out, their stories, its ledger.

A directory for each run in the user's cache. ``tests.jsonl`` grows while the run goes on, a JSON line for each event,
appended by all its processes, so that it is there even if every one of them is killed; ``ledger.jsonl`` is the copy of
a ledger that was dropped. Lines that are not known are another version's, and skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote

from pytest_fargate_sandbox.leaves.user_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS_VERSION = 1
"""Of the form of the events; more of them, and more in them, may come in the same one."""

KEPT_RUNS = 30
MOST_BYTES = 64 * 1024 * 1024
"""Of one run's events: a story or a recording that would go beyond is not written."""
_LARGE = ("story", "recording")
_MAY_GO_ON_SEC = 6 * 3600.0
_TESTS, _LEDGER = "tests.jsonl", "ledger.jsonl"


class RunRecords:
    """Of one run. What cannot be written is no trouble of the run's, and is missed by nobody but a later look."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.directory = _directory() / quote(run_id, safe="")[:200]

    @property
    def ledger(self) -> Path:
        return self.directory / _LEDGER

    @property
    def exist(self) -> bool:
        return (self.directory / _TESTS).is_file()

    def write(self, event: str, **facts: Any) -> bool:
        """Append an event. Whether it was written."""
        told = json.dumps({"event": event, "t": round(time.time(), 3), **facts}, default=str)
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self.directory / _TESTS, flags, 0o600)
            try:
                most = MOST_BYTES if event in _LARGE else 2 * MOST_BYTES  # how tests came out always has room
                return _append(descriptor, f"\n{told}\n".encode(), most)
            finally:
                os.close(descriptor)
        except OSError:
            return False

    def events(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each with the offset of its line, by which ``at`` has it again: nobody need hold all of them."""
        try:
            file = (self.directory / _TESTS).open("rb")
        except FileNotFoundError:
            return
        with file:
            offset = 0
            for line in file:
                event = _event(line)
                if event is not None:
                    yield offset, event
                offset += len(line)

    def at(self, offset: int) -> dict[str, Any]:
        with (self.directory / _TESTS).open("rb") as file:
            file.seek(offset)
            return _event(file.readline()) or {}


def archive(run_id: str, ledger: IO[bytes] | BinaryIO) -> None:
    """The ledger goes; its copy stays with what else is kept of the run, if anything is."""
    records = RunRecords(run_id)
    if not records.exist:
        return
    try:
        ledger.seek(0)
        with open(records.ledger, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as copy:
            shutil.copyfileobj(ledger, copy)
    except OSError:
        pass  # a full disk is to keep nobody from ending a run


def all_runs() -> list[str]:
    """The ids of those that something is kept of, the latest last."""
    return [unquote(name) for _, name in _by_last_event()]


def forget_old_runs() -> None:
    """Not those that may go on still, while many shorter ones come and go."""
    for last_event, name in _by_last_event()[:-KEPT_RUNS]:
        if time.time() - last_event > _MAY_GO_ON_SEC:
            shutil.rmtree(_directory() / name, ignore_errors=True)


def _by_last_event() -> list[tuple[float, str]]:
    found = []
    for each in _directory().glob(f"*/{_TESTS}"):
        with suppress(FileNotFoundError):  # another run, which ends now, has forgotten it
            found.append((each.stat().st_mtime, each.parent.name))
    return sorted(found)


def _append(descriptor: int, line: bytes, most: int) -> bool:
    if os.fstat(descriptor).st_size + len(line) > most:
        return False
    return os.write(descriptor, line) == len(line)


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _directory() -> Path:
    return cache_directory("runs")

"""The ledger: what we are about to make, before we make it, so that whoever comes after a crash can take it away.

One file for each run in the user's cache directory, a JSON line for each event, appended by all processes of the run
(a line is written in one piece). An ``Entry`` is what the events of one launch come to. Other versions of this package
may write to it too: keys that are not known are facts, and a line that is no event is told of, and skipped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote

from pytest_fargate_sandbox.leaves.lock_at_once import taken_at_once
from pytest_fargate_sandbox.leaves.lock_holder import Waiting
from pytest_fargate_sandbox.leaves.process_identity import still_runs, this_process
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, write_private
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.records import run_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SUFFIX = ".jsonl"
_LONGEST_SEC = 120.0
"""So long whoever has a ledger to himself is waited for: he needs it for moments."""
_WORDS = {"phase": "name", "refused": "refusal"}
_STEPS = ("launching", "launched", "stopped")
_NO_EVENT = (ValueError, TypeError, KeyError, AttributeError, RecursionError)

_log = logging.getLogger("pytest_fargate_sandbox.ledger")
_told: set[Path] = set()
_hash = partial(blake2b, digest_size=16)


@dataclass
class Entry:
    """A launch: where it went, whose it was, and what became of it."""

    id: str
    facts: dict[str, Any] = field(default_factory=dict)
    """The last value of each fact that an event told: ``task_arn``, ``cluster``, ``image``, ``phases``…"""
    events: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    """When each event first happened."""
    latest: dict[str, float] = field(default_factory=dict)
    """When each happened last."""
    moments: list[tuple[str, float, str]] = field(default_factory=list)
    """All events with their times, and which phase began, or why a launch was refused."""
    tasks: int = 0
    """How many its start has had: what fails for a passing reason is launched again."""

    @property
    def task_arn(self) -> str | None:
        return self.facts.get("task_arn")

    @property
    def lives(self) -> list[tuple[float, float | None]]:
        """From when to when its tasks were there, one after the other; None: the last one is there still."""
        lives: list[tuple[float, float | None]] = []
        for event, when, _ in self.moments:
            lives_on = bool(lives) and lives[-1][1] is None
            if event == "launched" and not lives_on:  # whoever takes a task over writes that once more
                lives.append((when, None))
            elif event == "stopped" and lives_on:
                lives[-1] = lives[-1][0], when
        return lives

    @property
    def launched_at(self) -> float:
        """When its latest task was launched, or taken over; 0 where none is known to have been."""
        return self.latest.get("launched", 0.0)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it can be alive, as far as the ledger knows; one entry may have had several tasks."""
        return self._last_step in ("", "stopped")

    @property
    def is_unnamed(self) -> bool:
        """Whether a launch was begun, and what came of it was never written down."""
        return self._last_step == "launching"

    @property
    def _last_step(self) -> str:
        return self._last_of(*_STEPS)

    def _last_of(self, *names: str) -> str:
        return next((event for event in reversed(self.events) if event in names), "")

    @property
    def is_kept(self) -> bool:
        """Whether it may outlive its owner: until its time is over, or somebody takes it over."""
        return self._last_of("kept", "taken_over") == "kept"

    @property
    def is_left(self) -> bool:
        """Whether it is kept for the next run of a name (``reuse``), and for nobody to look at."""
        return self.is_kept and bool(self.facts.get("reuse"))

    @property
    def is_taken_over(self) -> bool:
        """Whether a process that need not be of its run has it now, and answers for it as long as that lives."""
        return self._last_of("kept", "taken_over") == "taken_over" and self.owner_lives

    @property
    def is_shelved(self) -> bool:
        """Whether it was launched ahead of need, and nobody has taken it."""
        return "shelved" in self.events and "claimed" not in self.events

    @property
    def is_shared(self) -> bool:
        """Whether several processes of its run use it, so that it ends with none but the run."""
        return "shared" in self.events

    @property
    def owner(self) -> tuple[Any, ...]:
        """The process that answers for it, by the facts that tell it from any other."""
        return tuple(self.facts.get(key) for key in ("pid", "pid_began", "pid_space"))

    @property
    def owner_lives(self) -> bool:
        """Whether its owner still runs, or may."""
        return still_runs(self.facts)


class Ledger:
    """The ledger of one run. Threads and processes write to it at once."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.path = ledger_directory() / (quote(run_id, safe="")[:200] + _SUFFIX)
        self._lock = threading.Lock()
        self._inode: int | None = None
        self._forget()

    @classmethod
    def at(cls, path: Path) -> Ledger:
        ledger = cls(unquote(path.name.removesuffix(_SUFFIX)))
        ledger.path = path  # the name of a long run was cut
        return ledger

    def open_entry(self, **facts: Any) -> str:
        """Begin an entry; returns its id."""
        entry = secrets.token_hex(8)
        self.own(entry, "opened", run_id=self.run_id, **facts)
        return entry

    def own(self, entry: str, event: str, **facts: Any) -> None:
        """Append an event that makes this process the one that answers for the entry's task."""
        self.write(entry, event, **this_process(), **facts)

    def write(self, entry: str, event: str, **facts: Any) -> None:
        """Append an event of an entry. Raises ``OSError`` when it is not written as a whole."""
        told = json.dumps({"entry": entry, "event": event, "t": round(time.time(), 3), **facts}, default=str)
        line = f"\n{told}\n".encode()  # whoever wrote last may have been killed within a line
        with self._lock:
            try:
                while not self._append(line):
                    pass  # the file has just been dropped or compacted
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error

    def tell(self, entry: str, event: str, **facts: Any) -> None:
        """Append an event that nothing hangs on but what is told of it: for a full disk no task lives on."""
        try:
            self.write(entry, event, **facts)
        except OSError as error:
            _log.warning("%s is not on record: %s", event, error)

    def _append(self, line: bytes) -> bool:
        """Whether the file still stands under its name, and so does the line."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, fcntl.LOCK_SH, self.path)
            if not os.fstat(descriptor).st_nlink:
                return False
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return True
        finally:
            os.close(descriptor)

    def entries(self) -> list[Entry]:
        with self._lock:
            self._read()
            return list(self._entries.values())

    def entry_of(self, task_arn: str) -> Entry | None:
        """The entry of which this is the latest task."""
        with self._lock:
            self._read()
            entry = self._by_task.get(task_arn)
            return entry if entry and entry.task_arn == task_arn else None

    def _read(self) -> None:
        for line in self._new_lines():
            self._take(line)

    def _new_lines(self) -> list[bytes]:
        """What was appended since the last look, by whomever, up to the last line that is whole."""
        try:
            with self.path.open("rb") as file:
                self._begin_anew_if_replaced(file)
                file.seek(self.read_up_to)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.read_up_to += len(whole + end)
        self._read_bytes.update(whole + end)
        return [line for line in whole.split(b"\n") if line]

    def _begin_anew_if_replaced(self, file: BinaryIO) -> None:
        stat = os.fstat(file.fileno())
        if self._inode not in (None, stat.st_ino) or stat.st_size < self.read_up_to:
            self._forget()
        self._inode = stat.st_ino

    @property
    def digest(self) -> str:
        """Of all that was read."""
        return self._read_bytes.hexdigest()

    def skip(self, size: int, digest: str) -> bool:
        """Leave the first ``size`` bytes unread, if they are what had this digest. For a ledger that was not read."""
        with self.path.open("rb") as file:
            self._begin_anew_if_replaced(file)
            skipped = _hash(file.read(size))
        if skipped.hexdigest() != digest:
            return False
        self.read_up_to, self._read_bytes = size, skipped
        return True

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            name, step, when = str(event.pop("entry")), str(event.pop("event")), float(event.pop("t"))
        except _NO_EVENT:
            self._tell_of(line)
            return
        entry = self._entries.setdefault(name, Entry(name))
        entry.events.append(step)
        entry.times.setdefault(step, when)
        entry.latest[step] = when
        entry.moments.append((step, when, str(event.get(_WORDS.get(step, ""), ""))))
        entry.facts.update(event)
        arn = str(event.get("task_arn") or "")
        if arn:
            entry.tasks += self._by_task.get(arn) is not entry
            self._by_task[arn] = entry

    def _tell_of(self, line: bytes) -> None:
        if self.path not in _told:
            _told.add(self.path)
            _log.warning("%s: %.80r is no event; such lines are skipped", self.path, line)

    def drop(self) -> None:
        """Remove the file: nothing in it matters any more, but to whoever looks back at the run."""
        with self._lock, alone_with(self.path) as file:
            if file:
                run_records.archive(self.run_id, file)
            self.path.unlink(missing_ok=True)
            self._forget()

    def compact(self, is_wanted: Callable[[Entry], bool]) -> None:
        """Leave only the lines of entries that are wanted."""
        with alone_with(self.path) as file:
            ids = {entry.id for entry in self.entries() if is_wanted(entry)}
            lines = [line for line in file.read().split(b"\n") if _entry_in(line) in ids] if file else []
            if file:
                write_private(self.path, b"".join(line + b"\n" for line in lines).decode())

    def _forget(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._by_task: dict[str, Entry] = {}
        self.read_up_to = 0
        self._read_bytes = _hash()


@contextmanager
def alone_with(path: Path) -> Iterator[BinaryIO | None]:
    """A ledger's file, to which nobody appends meanwhile; None where there is none."""
    while path.exists():
        with path.open("rb") as file:
            _lock(file.fileno(), fcntl.LOCK_EX, path)
            if os.fstat(file.fileno()).st_nlink:
                yield file
                return
    yield None


def _lock(descriptor: int, kind: int, path: Path) -> None:
    """Raises ``OSError`` where somebody has it who gives it back to nobody."""
    waiting = Waiting(path, "the ledger", _LONGEST_SEC)
    for pause in pauses(0.001, 0.2):
        try:
            if taken_at_once(descriptor, kind):
                return
        except OSError:  # a file system without locks: then two at once may lose a line, as they always could
            return
        if problem := waiting.problem():
            raise OSError(errno.ETIMEDOUT, problem)
        time.sleep(pause)


def _entry_in(line: bytes) -> str | None:
    try:
        return str(json.loads(line)["entry"])
    except _NO_EVENT:
        return None


def ledger_directory() -> Path:
    return cache_directory("ledger")


def ledger_paths() -> list[Path]:
    return sorted(ledger_directory().glob(f"*{_SUFFIX}"))


def all_ledgers() -> Iterator[Ledger]:
    """Those of all runs of this user on this machine that were not dropped."""
    return map(Ledger.at, ledger_paths())

"""Ledgers whose entries are all over are read once: what a look found is noted, and holds until somebody appends.

An entry that is over stays over, and a dead owner stays dead. So where a ledger has grown, what was noted of its
beginning still holds, and only the rest is read. A note that is lost, or replaced by an older one, costs another look,
and never a task.

A script that always gives its run the same id has one ledger for ever. What of it is over and old is taken out.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.file_lock import FileLock
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.records import run_records
from pytest_fargate_sandbox.records.ledger import Ledger, alone_with, ledger_directory

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.records.ledger import Entry

_FILE = "ended.json"
_COMPACTED_BYTES = 256 * 1024
"""A ledger is compacted each time that it has grown by so much: some hundred launches."""


class Note(NamedTuple):
    """All entries in the first ``size`` bytes of a ledger are over."""

    size: int
    mtime_ns: int
    """Of the file, as it was before it was read: whatever was appended meanwhile has a later one."""
    digest: str
    """Of those bytes, since a ledger that is dropped and begun again is another."""
    deserted: bool
    """Whether all owners of its entries are dead."""

    def holds_for(self, stat: os.stat_result) -> bool:
        """Whether nothing has been appended since."""
        return (self.size, self.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def read_notes() -> dict[str, Note]:
    """By the names of their ledgers; none where the notes are damaged, or another version's."""
    try:
        notes = json.loads((ledger_directory() / _FILE).read_bytes())
        return {name: Note(int(a), int(b), str(c), bool(d)) for name, (a, b, c, d) in notes.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save_notes(notes: Mapping[str, Note]) -> None:
    path = ledger_directory() / _FILE
    try:
        with FileLock(path.with_suffix(".lock"), timeout=0):
            write_private(path, json.dumps(notes))
    except OSError:
        pass  # somebody else saves theirs, or nobody can


def examine(path: Path, stat: os.stat_result, note: Note | None) -> tuple[Ledger, list[Entry], Note | None]:
    """The ledger, its entries but those that the note covers, and what can be noted now."""
    ledger = Ledger.at(path)
    if note is not None and not ledger.skip(note.size, note.digest):
        note = None
    entries = ledger.entries()
    if note is not None and not all(entry.is_over or "opened" in entry.events for entry in entries):
        return examine(path, stat, None)  # the rest tells more of an entry that was over
    if all(entry.is_over for entry in entries):
        deserted = (note is None or note.deserted) and is_deserted(entries)
        note = Note(ledger.read_up_to, stat.st_mtime_ns, ledger.digest, deserted)
    return ledger, entries, note


def is_deserted(entries: list[Entry]) -> bool:
    """Whether no owner of theirs lives; each owner is looked for once."""
    return not any(entry.owner_lives for entry in {entry.owner: entry for entry in entries}.values())


def has_outgrown(note: Note | None, stat: os.stat_result) -> bool:
    return stat.st_size // _COMPACTED_BYTES > (note.size if note else 0) // _COMPACTED_BYTES


def compact(path: Path, *, older_than: float) -> None:
    """Take out what is over for so many seconds, of owners that are dead, if that is the most of it."""
    entries, before = Ledger.at(path).entries(), time.time() - older_than
    done = [entry for entry in entries if entry.is_over and max(entry.times.values()) < before]
    alive = {owner for owner, entry in {entry.owner: entry for entry in done}.items() if entry.owner_lives}
    old = {entry.id for entry in done if entry.owner not in alive}
    if 2 * len(old) > len(entries):
        Ledger.at(path).compact(lambda entry: entry.id not in old or not entry.is_over)


def remove_unless_grown(path: Path, stat: os.stat_result) -> bool:
    """Whether it is gone: nobody has just begun to use it again."""
    with alone_with(path) as file:
        if file and path.stat().st_size == stat.st_size:
            run_records.archive(Ledger.at(path).run_id, file)
            path.unlink()
            return True
    return False

"""What is saved of a test, under its name: files of its sandboxes, recordings of their terminals, containers' logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.artifact_bounds import MOST_BYTES_OF_A_TEST, MOST_ENTRIES, MOST_TOLD
from pytest_fargate_sandbox.plugin import outcomes
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.plugin.warned_anyway import warn_anyway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.artifact_results import Collected
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

DIRECTORY, FILE, TROUBLE = "fargate_artifacts", "fargate_artifact", "fargate_artifact_trouble"
"""The properties of a test that tell of them."""

_SAVED: pytest.StashKey[list[Lease]] = pytest.StashKey()
"""The sandboxes of an item's current attempt whose artifacts are saved."""


class ArtifactWarning(pytest.PytestWarning):
    """Something that was to be saved of a test could not be; the test's result stands."""

    __module__ = __name__.partition(".")[0]


@dataclass
class Saved:
    """``trouble`` has a sentence for whatever is not there, or not whole."""

    directory: Path
    files: list[Path] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    room: int = MOST_BYTES_OF_A_TEST
    """For recordings."""

    def told(self) -> str:
        return "\n".join([*_some([str(path) for path in self.files], f"below {self.directory}"), *self.complaints()])

    def facts(self) -> Iterator[tuple[str, str]]:
        yield DIRECTORY, str(self.directory)
        yield from ((FILE, path) for path in _some([str(path) for path in self.files]))
        yield from ((TROUBLE, sentence) for sentence in self.complaints())

    def complaints(self) -> list[str]:
        from pytest_fargate_sandbox.leaves.printable import printable_line

        return [printable_line(sentence) for sentence in _some(self.trouble)]


class Artifacts:
    """``directory`` is where they go; None: nowhere."""

    def __init__(self, directory: Path | None, run: PytestRun) -> None:
        self._directory = directory
        self._run = run

    def save(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, leases: Sequence[Lease]
    ) -> Saved | None:
        """What is there now of this test, if this report is one at which it is saved.

        What cannot be is told and warned of: a full disk here is no verdict on the test.
        """
        if self._directory is None or not leases or outcomes.is_running(item):
            return None
        if call.when == "setup":
            item.stash[_SAVED] = []
        keys = {} if marker.mistake_in(item) else marker.keys_of(item)
        due = [(number, lease) for number, lease in enumerate(leases, 1) if _is_due(item, call, report, lease, keys)]
        if not due:
            return None
        saved, has_failed = Saved(self._directory / self._name_of(item)), False
        for number, lease in due:
            item.stash.setdefault(_SAVED, []).append(lease)
            has_failed |= not _save(lease, _globs(lease, keys), number, saved)
        if has_failed or (saved.trouble and not report.failed):  # nobody reads a report of what passed
            warn_anyway(item, ArtifactWarning("; ".join(saved.complaints())))
        return saved if saved.files or saved.trouble else None

    def _name_of(self, item: pytest.Item) -> str:
        from pytest_fargate_sandbox.plugin.telling.saved_files import directory_name

        several = self._run.times_each_test > 1
        return directory_name(f"{item.nodeid}@{self._run.worker}" if several else item.nodeid)


def _is_due(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, lease: Lease, keys: dict[str, Any]
) -> bool:
    """Behind the test itself, or with what fails around it; without globs only of one that failed."""
    if lease in item.stash.get(_SAVED, ()):  # what its teardown breaks is not what the test has left
        return False
    if report.failed or (call.when == "call" and item.stash.get(outcomes.FAILED, False)):
        return True
    usual = "always" if _globs(lease, keys) else "failed"
    return call.when == "call" and (lease.artifacts_when or keys.get("artifacts_when") or usual) == "always"


def _globs(lease: Lease, keys: dict[str, Any]) -> list[str]:
    """A sandbox that tests share has those of each."""
    return list(dict.fromkeys([*lease.artifacts, *keys.get("artifacts", ())]))


def _save(lease: Lease, globs: list[str], number: int, saved: Saved) -> bool:
    """Whether all could be written here that there is. What is too large for a disk says nothing of the others."""
    directory = saved.directory / ("files" if number == 1 else f"files-{number}")
    has_failed = False
    steps: list[Callable[[Lease, Saved], None]] = [partial(_save_files, globs, directory)]
    steps += [partial(_save_recording, terminal) for terminal in lease.sandbox.terminals.all()]
    for save in (*steps, _save_log):
        try:
            save(lease, saved)
        except (OSError, ValueError) as error:  # noqa: PERF203
            saved.trouble.append(f"artifacts could not be saved: {error}")
            has_failed = True
    return not has_failed


def _save_recording(terminal: Terminal, lease: Lease, saved: Saved) -> None:
    text = terminal.recording()
    if len(text) > saved.room:
        saved.trouble.append(f"the recording of {terminal.name} is cut: more than {MOST_BYTES_OF_A_TEST} bytes")
        text = text[: text.rfind("\n", 0, saved.room) + 1]
    saved.room -= len(text)
    saved.files.append(_written(saved, f"{lease.task_id}-{terminal.name}", ".cast", text))


def _save_log(lease: Lease, saved: Saved) -> None:
    log = lease.logs()
    if log:
        saved.files.append(_written(saved, lease.task_id, ".log", log))


def _written(saved: Saved, name: str, suffix: str, text: str) -> Path:
    from pytest_fargate_sandbox.plugin.telling.saved_files import safe_names

    stem = "_".join(safe_names(name))
    path = saved.directory / f"{stem}{suffix}"
    if path in saved.files:  # the names of two terminals differ in what no file's name has
        path = saved.directory / f"{stem}.{len(saved.files)}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _save_files(globs: list[str], directory: Path, lease: Lease, saved: Saved) -> None:
    if not globs:
        return
    from pytest_fargate_sandbox.leaves.errors import SandboxError
    from pytest_fargate_sandbox.plugin.telling.saved_files import SavedFiles

    files = SavedFiles(directory)
    try:
        files.begin()
        collected = lease.sandbox.artifacts.collect(globs, files)
        files.close()
        saved.trouble += _complaints(collected)
    except SandboxError as error:
        files.give_up()
        saved.trouble.append(f"{', '.join(globs)}: not saved: {error.message.partition(chr(10))[0]}")
    except OSError:
        files.give_up()
        raise
    finally:
        saved.files += files.paths


def _complaints(collected: Collected) -> Iterator[str]:
    yield from (f"no file fits {glob}" for glob in collected.unmatched)
    for file in collected.files:
        if file.truncated:
            yield f"{file.path}: the first {file.bytes} of {file.file_size} bytes"
    yield from (f"not saved: {sentence}" for sentence in collected.refused)
    if collected.truncated:
        yield f"not all is saved: there are more than {MOST_ENTRIES} files, or {MOST_BYTES_OF_A_TEST} bytes"


def _some(lines: list[str], where: str = "") -> list[str]:
    more = len(lines) - MOST_TOLD
    return lines if more <= 0 else [*lines[:MOST_TOLD], f"… and {more} more {where}".rstrip()]

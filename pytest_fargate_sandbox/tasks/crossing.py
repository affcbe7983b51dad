"""What crosses over from the agent's sandbox to the verifier's: declared artifacts, or the workspace. Nothing else.

It is opaque on this side: a tree comes as a snapshot that is unpacked nowhere but in a sandbox.
"""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS, WorkBounds
from pytest_fargate_sandbox.leaves.errors import (
    ExecFailed,
    RemoteFileError,
    RemoteFileNotFound,
    RemotePermissionError,
    SandboxBroken,
    SandboxError,
    TaskFolderError,
)
from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
from pytest_fargate_sandbox.tasks.own_paths import NEVER, is_workspace, overlaps_verifiers, plain
from pytest_fargate_sandbox.tasks.task_folder import Artifact
from pytest_fargate_sandbox.tasks.task_inputs import content_digest
from pytest_fargate_sandbox.tasks.task_places import is_shared, mode_of
from pytest_fargate_sandbox.tasks.task_slot import claim
from pytest_fargate_sandbox.tasks.whose_fault import why_from_inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.crossing_store import CrossingStore
    from pytest_fargate_sandbox.tasks.task_folder import Step, TaskFolder

PUBLISHED = "/logs/artifacts"
"""What an agent puts there crosses over, whatever else is declared."""


class Crossed(NamedTuple):
    """``content`` is a snapshot of a directory, or the bytes of a file."""

    source: str
    is_tree: bool
    content: Path
    sha256: str
    replaces: bool
    """Whether it is all that may be there: then what the agent deleted is not there again."""


class NothingCrosses(TaskFolderError):
    """No verifier of its own could see what an agent did: the task has to say what counts."""


class Crossing:
    """Files of this process, until ``forget``; with a ``store`` they are kept there as well."""

    def __init__(self, store: CrossingStore | None = None, bounds: WorkBounds = WORK_BOUNDS) -> None:
        self._bounds = bounds
        self._files = 0
        self._room = TemporaryDirectory("crossing-")
        self._store = store
        self.all: list[Crossed] = []

    @classmethod
    def stored(cls, store: CrossingStore, entries: Sequence[Mapping[str, Any]]) -> Crossing:
        """One of before, by its ``entries``; it is fetched when it is given. Raises ``SandboxError``."""
        crossing = cls(store)
        try:
            for number, each in enumerate(entries):
                room = crossing._room.path / str(number)
                crossing.all.append(
                    Crossed(
                        str(each["source"]), bool(each["is_tree"]), room, str(each["sha256"]), bool(each["replaces"])
                    )
                )
        except (KeyError, TypeError):
            crossing.forget()
            raise SandboxError("what crossed over is not told in these results as it is told by this release") from None
        return crossing

    def entries(self) -> list[dict[str, Any]]:
        """Plain values, by which it is found again."""
        names = ("source", "is_tree", "sha256", "replaces")
        return [{name: getattr(each, name) for name in names} for each in self.all]

    @property
    def sha256(self) -> str:
        """Of all of it."""
        listed = sorted((each.source, each.sha256) for each in self.all)
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    def take(self, sandbox: Any, folder: TaskFolder, step: Step | None, workspace: str) -> None:
        """Out of the agent's sandbox. What was declared and is not there is not taken: its tests will tell."""
        for artifact, replaces in what_crosses(folder, step, workspace):
            crossed = self._taken(sandbox, artifact, self._room.path / str(len(self.all)), replaces)
            if replaces and not (crossed and crossed.is_tree):
                raise SandboxBroken(f"the agent left no directory where its workspace was, {workspace}")
            if crossed is not None:
                self.all.append(crossed)
        if self._store is not None:
            for each in self.all:
                self._store.put(sandbox.aws, each.content, each.sha256)

    def give(self, sandbox: Any) -> None:
        """Into the verifier's, where nobody of the agent's runs yet: what cannot be put there is his own doing.

        He may have left a directory where its image has a file, or more than fits in its memory.
        """
        try:
            self._give(sandbox)
        except RemotePermissionError:  # that is its image's
            raise
        except SandboxError as error:
            if not isinstance(error, ExecFailed) and why_from_inside(sandbox, error) is None:
                raise
            raise SandboxBroken(f"what the agent left cannot be put where its verifier is: {error}") from error

    def _give(self, sandbox: Any) -> None:
        trees: list[PurePosixPath] = []
        for each in self.all:
            if _leads_elsewhere(sandbox, each, trees):
                continue
            if each.is_tree:
                trees.append(PurePosixPath(each.source))
            if self._store is not None and not each.content.exists():
                self._store.get(sandbox.aws, each.sha256, each.content)
            if not each.is_tree:
                sandbox.upload(each.content, each.source)
                continue
            claim(sandbox, each.source, emptied=each.replaces)
            # Or what tests run as somebody else would be whom the agent, root in his sandbox, has made it.
            sandbox.load(each.content, each.source, set_ids=False)

    def forget(self) -> None:
        self._room.remove()

    def _taken(self, sandbox: Any, artifact: Artifact, room: Path, replaces: bool) -> Crossed | None:
        bytes_left = max(1, self._bounds.bytes - sum(each.content.stat().st_size for each in self.all))
        try:
            is_tree = self._saved(sandbox, artifact, room, bytes_left)
            if not is_tree:
                self._files += 1
                _download(sandbox, artifact.source, room, bytes_left)
        except RemoteFileNotFound:
            return None
        except RemoteFileError as error:
            if error.kind != "too_large" or error.errno is not None:
                raise
            raise self._too_much(artifact.source) from None
        if self._files > self._bounds.files:
            raise self._too_much(artifact.source)
        return Crossed(artifact.source, is_tree, room, content_digest(room), replaces and is_tree)

    def _saved(self, sandbox: Any, artifact: Artifact, room: Path, most: int) -> bool:
        """Whether it is a directory."""
        files_left = max(1, self._bounds.files - self._files)
        try:
            saved = sandbox.save(
                artifact.source, exclude=artifact.exclude, to=room, max_bytes=most, max_members=files_left
            )
        except RemoteFileError as error:
            if error.errno != errno.ENOTDIR:
                raise
            return False
        self._files += saved.members
        return True

    def _too_much(self, source: str) -> SandboxBroken:
        return SandboxBroken(
            f"the agent left more than crosses over to a verifier: with {source} it would be more than {self._bounds}; "
            "what a task makes itself is in `artifacts` that say what counts, and what to `exclude`"
        )


def _download(sandbox: Any, source: str, room: Path, most: int) -> None:
    """What holes make of a file is not waited for: it travels with all its zeros."""
    if sandbox.stat(source, follow=True).size > most:
        raise RemoteFileError(f"{source} has more than {most} bytes", path=source, kind="too_large")
    sandbox.download(source, room, max_bytes=most)
    if room.is_dir():  # of which nothing is to lie here but as a snapshot
        raise RemoteFileError(f"{source} is now a file and then a directory", path=source)


def _leads_elsewhere(sandbox: Any, crossed: Crossed, trees: Sequence[PurePosixPath]) -> bool:
    """Whether its place is behind a link that came over in one of these trees: an agent would choose where it goes.

    It is as it is there then: the link that he left.
    """
    path = PurePosixPath(crossed.source)
    ways = [path, *path.parents] if crossed.is_tree else path.parents
    inside = [way for way in ways if any(tree in way.parents for tree in trees)]
    try:
        return any(sandbox.stat(str(way), follow=False).kind != "directory" for way in reversed(inside))
    except RemoteFileNotFound:  # it is made
        return False


def what_crosses(folder: TaskFolder, step: Step | None, workspace: str) -> Iterator[tuple[Artifact, bool]]:
    """Each with whether it is the whole of the workspace. Raises ``TaskFolderError``.

    A task that says ``separate`` has said what counts. Of one that does not, written for a verifier in the agent's own
    sandbox, the workspace counts as well.
    """
    declared = [*folder.config.artifacts, *(step.artifacts if step else ())]
    if mode_of(folder, step) is None:
        if is_workspace(workspace):
            yield Artifact(workspace), True
        elif not declared:
            raise NothingCrosses(
                f"{folder.name}: it works in {workspace}, of which nothing can cross over to a verifier of its own: "
                "name what counts in `artifacts`, or a `workdir`, or say environment_mode = 'shared'",
                path=str(folder.file),
            )
    if not any(each.source.rstrip("/") == PUBLISHED for each in declared):
        yield Artifact(PUBLISHED), False
    for artifact in declared:
        source = plain(str(PurePosixPath(workspace, artifact.source)))
        _check_place(folder, artifact.source, source)
        yield Artifact(source, exclude=_at_any_depth(artifact.exclude)), False


def check_what_crosses(folder: TaskFolder) -> None:
    """As far as it is known before anything has run, so that no agent works for nothing. Raises ``TaskFolderError``."""
    workdir = folder.config.environment.workdir
    for step in folder.config.parts:
        if is_shared(folder, step):
            continue
        if workdir:
            list(what_crosses(folder, step, workdir))
            continue
        for artifact in (*folder.config.artifacts, *(step.artifacts if step else ())):
            if artifact.source.startswith("/"):
                _check_place(folder, artifact.source, plain(artifact.source))


def _at_any_depth(exclude: Sequence[str]) -> list[str]:
    """Harbor hands them to tar, whose patterns begin anywhere: https://www.gnu.org/software/tar/manual/html_node/exclude.html"""
    plain = [each.removeprefix("./").strip("/") for each in exclude]
    return [glob for each in plain if each for glob in (each, f"**/{each}")]


def _check_place(folder: TaskFolder, said: str, source: str) -> None:
    if source == "/" or overlaps_verifiers(source):
        raise TaskFolderError(
            f"{folder.name}: the artifact {said} would bring the agent's files to where the verifier's are "
            f"({', '.join(NEVER)})",
            path=str(folder.file),
        )

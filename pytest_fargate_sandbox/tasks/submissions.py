"""What agents handed in elsewhere: a directory, an archive or a patch for a task, that is put into its workspace."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import NoVerdict, SandboxBroken, SandboxError
from pytest_fargate_sandbox.server.files.archives import DEEPEST
from pytest_fargate_sandbox.tasks.task_inputs import digest_of
from pytest_fargate_sandbox.tasks.unpacking import NOT_FOUND, suffix_of, unpacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds
    from pytest_fargate_sandbox.tasks.workplace import Workplace

_UNREADABLE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)
_ROOM = "/tmp/.submission"


@dataclass(frozen=True)
class Submission:
    """``number`` is the name of the try."""

    name: str
    number: str
    path: Path

    def act(self, there: Workplace) -> None:
        """Raises ``NoVerdict`` where the image has nothing to unpack it with, or where it is no agent's.

        What cannot be unpacked whole is ``SandboxBroken``: half of it may be what a verifier wants to see.
        """
        if self.path.is_symlink():
            raise NoVerdict(f"{self.path} is a link: what somebody handed in stands there itself")
        if not (self.path.is_dir() or self.path.is_file()):  # who reads a pipe waits for ever
            raise SandboxBroken(f"{self.path}, which was handed in, is neither a file nor a directory")
        with _readable(self.path):
            _check_size(self.path, there.bounds)
        suffix = "" if self.path.is_dir() else suffix_of(self.path)
        file = f"{_ROOM}{suffix}" if suffix else there.workspace
        with _readable(self.path):
            there.bring(self.path, file)  # which refuses links out of it, so that the digest is of nothing else
            there.log.hashes["submission"] = digest_of(self.path)
        if not suffix:
            return
        there.sandbox.exec(["chmod", "a+r", file])  # here it may be for its owner alone
        code = there.run(unpacks(file, suffix, there.bounds), named=f"unpacking {self.path.name}")
        there.sandbox.exec(["rm", "-f", file])
        if code:
            raise (NoVerdict if code == NOT_FOUND else SandboxBroken)(
                f"{self.path.name}, which was handed in, cannot be unpacked: {there.log.notes[-1]}"
            )


class Submissions:
    """All below a directory: ``TASK``, or ``AGENT/TASK/TRY``, where ``TASK`` is the name of a task's folder.

    What was handed in is a directory, an archive or a patch; ``AGENT/TASK.patch`` is the one try of that agent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def _entries(self) -> list[tuple[str, Submission]]:
        """Each with the name that its task would have, and, at the top, with those that it may be the agent of."""
        found = []
        for top in _inside(self._directory):
            found.append((_stem(top), Submission(self._directory.name, "1", top)))
            for task in _inside(top):
                tries = {_stem(each): each for each in _inside(task)} if task.is_dir() else {"1": task}
                found += [(_stem(task), Submission(top.name, number, each)) for number, each in tries.items()]
        return found

    def of(self, task: str) -> list[Submission]:
        theirs = [each for name, each in self._entries if name == task]
        at_the_top = [each for each in theirs if each.path.parent == self._directory]
        return at_the_top or theirs

    def without_task(self, tasks: set[str]) -> list[Path]:
        """What was handed in for tasks that are not among these."""
        lost = []
        for top in _inside(self._directory):
            if _stem(top) not in tasks:
                unknown = [each for each in _inside(top) if _stem(each) not in tasks]
                lost += unknown if len(unknown) < len(_inside(top)) else [top]
        return lost


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A block that reads it: he could have left it so that nobody can."""
    try:
        yield
    except SandboxError:
        raise
    except (OSError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno not in _UNREADABLE:
            raise
        raise SandboxBroken(f"{path}, which was handed in, cannot be read: {error}") from error


def _check_size(path: Path, bounds: WorkBounds) -> None:
    size = 0
    for files, each in enumerate([path] if path.is_file() else path.rglob("*"), 1):
        if len(each.parts) - len(path.parts) >= DEEPEST:
            raise SandboxBroken(
                f"{path}, which was handed in, cannot be read: it has directories in each other, {DEEPEST} deep or more"
            )
        size += each.lstat().st_size
        if size > bounds.bytes or files > bounds.files:
            raise SandboxBroken(f"{path} is more than may be handed in: it has more than {bounds}")


def _inside(directory: Path) -> list[Path]:
    if not directory.is_dir() or directory.is_symlink():
        return []
    return [each for each in sorted(directory.iterdir()) if each.is_dir() or suffix_of(each)]


def _stem(path: Path) -> str:
    return path.name.removesuffix(suffix_of(path)) if path.is_file() else path.name

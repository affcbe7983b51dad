"""The files of a task folder that go into sandboxes: which they are, whether they may, and their digests."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fargate_sandbox.tasks.task_folder import Step, TaskFolder

_VARIABLE = re.compile(r"\$\{([^}:]+)(?::-(.*))?\}")


_OURS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
"""What a task that somebody else wrote would only have to name, to have it where the internet is."""


class Inputs(NamedTuple):
    """Directories, the later over the earlier, and the script in them that is run."""

    directories: tuple[Path, ...]
    script: Path

    @property
    def script_name(self) -> str:
        return self.script.name


def solution_of(folder: TaskFolder, step: Step | None) -> Inputs:
    """Of a step, or that of the whole task where the step has none. Raises ``TaskFolderError``."""
    script = folder.path / folder.layout.solution
    if step is not None and (folder.path / "steps" / step.name / "solution").is_dir():
        script = folder.path / "steps" / step.name / "solution" / script.name
    return Inputs((script.parent,), _checked_script(folder, script, "no solution"))


def check_solutions(folder: TaskFolder) -> None:
    """Raises ``TaskFolderError`` where there is none, before anything is built or launched for it."""
    for step in folder.config.parts:
        solution_of(folder, step)


def tests_of(folder: TaskFolder, step: Step | None) -> Inputs:
    """What is uploaded to ``/tests`` of a verifier: those of the task, and over them those of the step."""
    shared = folder.path / folder.layout.test
    directories = [folder.path / "tests"]
    script = shared
    if step is not None:
        own = folder.path / "steps" / step.name / "tests"
        directories.append(own)
        script = own / shared.name if (own / shared.name).exists() else shared
    found = tuple(each for each in directories if each.is_dir())
    return Inputs(found, _checked_script(folder, script, "no tests that could be run"))


def _checked_script(folder: TaskFolder, script: Path, what: str) -> Path:
    if not script.is_file():
        raise _wrong(folder, script, f"is not there: the task has {what}")
    check_inside(folder, script)
    with script.open("rb") as file:
        first = file.readline(4096)
    if first.startswith(b"#!") and first.endswith(b"\r\n"):
        raise _wrong(folder, script, "has the line ends of Windows (CRLF), so its interpreter is not found: dos2unix")
    return script


def is_without_run_bit(script: Path) -> bool:
    """It is given one in the sandbox, as by Harbor; who runs it by hand has to know."""
    return not script.stat().st_mode & stat.S_IXUSR


@contextmanager
def staged(folder: TaskFolder, directory: Path, *more: Path) -> Iterator[Path]:
    """A directory to upload: ``directory`` itself, or a copy with ``more`` files, without links, and readable by all.

    Links within the task are followed. Raises ``TaskFolderError`` for one that leads out of it. A verdict does not hang
    on the umask of whoever checked the task out: of modes git has the run bit alone.
    """
    has_links = check_links(folder, directory)
    if not has_links and not more and not any(bits != _opened(bits) for _, bits in _rights(directory)):
        yield directory
        return
    room = TemporaryDirectory("task-")
    try:
        copy = room.path / "inputs"
        if directory.is_dir():
            shutil.copytree(directory, copy)
        copy.mkdir(exist_ok=True)
        for file in more:
            shutil.copy(file, copy)
        for path, bits in _rights(copy):
            path.chmod(_opened(bits))
        yield copy
    finally:
        room.remove()


def _rights(directory: Path) -> Iterator[tuple[Path, int]]:
    for above, _, files in os.walk(directory):
        for path in (Path(above), *(Path(above, name) for name in files)):
            yield path, stat.S_IMODE(path.stat().st_mode)


def _opened(bits: int) -> int:
    """What its owner may read and run, all may."""
    return bits | (bits & 0o500) >> 3 | (bits & 0o500) >> 6


def check_links(folder: TaskFolder, directory: Path) -> bool:
    """Whether there are links below. Whoever wrote a task is not to have this machine's files uploaded."""
    check_inside(folder, directory)
    root = folder.path.resolve()
    has_links = False
    for link in _links(directory):
        has_links = True
        target = link.resolve()
        if not target.is_relative_to(root):
            raise _wrong(folder, link, f"is a link out of the task's folder, to {link.readlink()}")
        if not target.exists():
            raise _wrong(folder, link, f"is a link to nothing, {link.readlink()}")
        if link.is_dir() and link.parent.resolve().is_relative_to(target):
            raise _wrong(folder, link, "is a link to a directory that it stands in")
    return has_links


def check_inside(folder: TaskFolder, path: Path) -> None:
    """Raises ``TaskFolderError`` where a link on the way leads out of the task's folder."""
    if not path.resolve().is_relative_to(folder.path.resolve()):
        raise _wrong(folder, path, f"is behind a link out of the task's folder, at {path.resolve()}")


def _links(directory: Path) -> Iterator[Path]:
    if directory.is_symlink():
        yield directory
    for above, directories, files in os.walk(directory):
        yield from (path for name in (*directories, *files) if (path := Path(above, name)).is_symlink())


def digest_of(*paths: Path) -> str:
    """Of files and trees: names, contents and run bits, wherever they lie and whoever checked them out."""
    digest = hashlib.sha256()
    for path in paths:
        for name, file in sorted(_files(path)):
            runs = bool(file.stat().st_mode & stat.S_IXUSR)
            digest.update(f"{name}\0{int(runs)}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            digest.update(content_digest(file).encode())
    return digest.hexdigest()


def content_digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
    for above, _, names in os.walk(path):
        for name in names:
            file = Path(above, name)
            if file.is_file():
                yield str(file.relative_to(path)), file


def resolved(env: Mapping[str, str], where: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``env`` with each value that is ``${VAR}`` or ``${VAR:-default}`` taken from here."""
    values = {}
    for name, value in env.items():
        found = _VARIABLE.fullmatch(value)
        if found is None:
            values[name] = value
        elif found[1] in _OURS:
            raise TaskFolderError(f"{where}.{name} is {value}, and no task is given this machine's keys to AWS")
        elif found[1] in environ:
            values[name] = environ[found[1]]
        elif found[2] is not None:
            values[name] = found[2]
        else:
            raise TaskFolderError(f"{where}.{name} is {value}, and {found[1]} is not set here")
    return values


def _wrong(folder: TaskFolder, path: Path, sentence: str) -> TaskFolderError:
    return TaskFolderError(f"{folder.name}: {path.relative_to(folder.path)} {sentence}", path=str(path))

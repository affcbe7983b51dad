"""Finding and reading task folders. What takes a walk through a folder's files is looked at when the task is tried."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.tasks.task_folder import SHARED, TASK_FILES
from pytest_fargate_sandbox.tasks.task_places import mode_of
from pytest_fargate_sandbox.tasks.task_toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder


def task_file_in(directory: Path) -> Path | None:
    """The file that makes it a task folder, if it is one. What cannot be looked into, another user's home, is none."""
    return next((file for name in TASK_FILES if _is_file(file := directory / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # which is False itself from Python 3.14 on
        return False


def read_task(file: Path) -> TaskFolder:
    """The task of a ``task.toml`` or a ``task.yaml``. Raises ``TaskFolderError``."""
    try:
        folder = read_toml(file) if file.suffix == ".toml" else _read_yaml(file)
    except OSError as error:
        raise TaskFolderError(f"{file}: cannot be read: {error.strerror}", path=str(file)) from None
    except UnicodeDecodeError as error:
        raise TaskFolderError(f"{file}: is not UTF-8: {error}", path=str(file)) from None
    return dataclasses.replace(
        folder,
        obstacles=(*folder.obstacles, *_in_compose(folder)),
        warnings=(*folder.warnings, *_not_read(folder)),
    )


def beside_its_agent(folder: TaskFolder) -> TaskFolder:
    """With a verifier in the agent's sandbox where it does not say which, as Harbor and terminal-bench read it."""
    if mode_of(folder, None) is not None:
        return folder
    verifier = dataclasses.replace(folder.config.verifier, environment_mode=SHARED)
    return dataclasses.replace(folder, config=dataclasses.replace(folder.config, verifier=verifier))


def _read_yaml(file: Path) -> TaskFolder:
    from pytest_fargate_sandbox.tasks.task_yaml import read_yaml

    return read_yaml(file)


def _not_read(folder: TaskFolder) -> Iterator[str]:
    for name in ("tests", "solution"):
        file = folder.path / name / ".harborignore"
        if file.exists():
            yield f"{file}: nobody reads it here: what it names goes into sandboxes as well"


def _in_compose(folder: TaskFolder) -> Iterator[str]:
    compose = folder.path / folder.layout.compose
    if compose.is_file():
        from pytest_fargate_sandbox.tasks.compose_file import too_many

        yield from too_many(compose)

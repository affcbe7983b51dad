"""The size that Fargate has for what a task asks for: the next one up, and told where it is more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.leaves.fargate_rules import DEFAULT_STORAGE_GIB, FARGATE_SIZES, STORAGE_GIB

if TYPE_CHECKING:
    from pytest_fargate_sandbox.tasks.task_folder import Surroundings

_UNITS = 1024
"""Of a CPU."""


class Fit(NamedTuple):
    """What is asked of Fargate; None: whatever the options say."""

    cpu: int | None
    memory: int | None
    storage: int | None
    """In GiB."""
    told: str
    """What was rounded up, in words."""


def fit(said: Surroundings) -> Fit:
    """Raises ``TaskFolderError`` where Fargate has nothing that large."""
    cpu, memory = _size(said)
    storage = _storage(said)
    rounded = []
    if said.cpus is not None and cpu != said.cpus * _UNITS:
        rounded.append(f"{said.cpus:g} CPUs are {(cpu or 0) / _UNITS:g}")
    if said.memory_mb is not None and memory != said.memory_mb:
        rounded.append(f"{said.memory_mb} MiB of memory are {memory}")
    if storage is not None and said.storage_mb != storage * 1024:
        rounded.append(f"{said.storage_mb} MiB of storage are {storage * 1024}")
    return Fit(cpu, memory, storage, f"on Fargate {', '.join(rounded)}" if rounded else "")


def _size(said: Surroundings) -> tuple[int | None, int | None]:
    """Both, or neither: what is half said is the smallest that has it."""
    if said.cpus is None and said.memory_mb is None:
        return None, None
    units, least = math.ceil((said.cpus or 0) * _UNITS), said.memory_mb or 0
    for cpu, sizes in FARGATE_SIZES.items():
        memory = next((size for size in sizes if size >= least), None)
        if cpu >= units and memory is not None:
            return cpu, memory
    most = max(FARGATE_SIZES)
    raise TaskFolderError(
        f"it takes {said.cpus or 'any'} CPUs and {said.memory_mb or 'any'} MiB, and Fargate has at most "
        f"{most // _UNITS} CPUs and {FARGATE_SIZES[most][-1]} MiB"
    )


def _storage(said: Surroundings) -> int | None:
    gib = math.ceil((said.storage_mb or 0) / 1024)
    if gib <= DEFAULT_STORAGE_GIB:
        return None
    if gib > STORAGE_GIB[-1]:
        raise TaskFolderError(f"it takes {gib} GiB of storage, and Fargate has at most {STORAGE_GIB[-1]}")
    return max(gib, STORAGE_GIB[0])

"""What a task asks for and what Fargate has."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox import TaskFolderError
from pytest_fargate_sandbox.tasks.fargate_fit import fit
from pytest_fargate_sandbox.tasks.task_folder import Surroundings


@pytest.mark.parametrize(
    ("said", "fits", "told"),
    [
        (Surroundings(), (None, None, None), ""),
        (Surroundings(cpus=1, memory_mb=2048), (1024, 2048, None), ""),
        (Surroundings(cpus=0.25), (256, 512, None), ""),
        (Surroundings(memory_mb=600), (256, 1024, None), "on Fargate 600 MiB of memory are 1024"),
        (
            Surroundings(cpus=3, memory_mb=5000),
            (4096, 8192, None),
            "on Fargate 3 CPUs are 4, 5000 MiB of memory are 8192",
        ),
        (Surroundings(cpus=1, memory_mb=16384), (2048, 16384, None), "on Fargate 1 CPUs are 2"),
        (Surroundings(storage_mb=10240), (None, None, None), ""),
        (Surroundings(storage_mb=20481), (None, None, 21), "on Fargate 20481 MiB of storage are 21504"),
    ],
)
def test_the_next_size_up_is_taken_and_told(
    said: Surroundings, fits: tuple[int | None, int | None, int | None], told: str
) -> None:
    found = fit(said)
    assert (found[:3], found.told) == (fits, told)


@pytest.mark.parametrize(
    "said", [Surroundings(cpus=17), Surroundings(memory_mb=200_000), Surroundings(storage_mb=300 * 1024)]
)
def test_what_is_too_large_is_told(said: Surroundings) -> None:
    with pytest.raises(TaskFolderError, match="and Fargate has at most"):
        fit(said)

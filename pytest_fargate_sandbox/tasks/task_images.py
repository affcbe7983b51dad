"""Which images a folder of tasks needs built, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.tasks.task_inputs import digest_of
from pytest_fargate_sandbox.tasks.task_lint import bases_of
from pytest_fargate_sandbox.tasks.task_places import TaskPlace, agents_place, verifiers_place
from pytest_fargate_sandbox.tasks.task_reading import read_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def contexts_of(files: Iterable[Path]) -> Iterator[TaskPlace]:
    """Those with a Dockerfile, each content once. Tasks that cannot be read are for lint to tell of."""
    seen: set[tuple[str, str]] = set()
    for file in files:
        try:
            folder = read_task(file)
            places = [agents_place(folder), *(verifiers_place(folder, step) for step in folder.config.parts)]
        except TaskFolderError:
            continue
        for place in places:
            if place.context is None or folder.obstacles:
                continue
            content = (place.context.name, digest_of(place.context))
            if content not in seen:
                seen.add(content)
                yield place


def in_rounds(places: Iterable[TaskPlace]) -> list[list[Path]]:
    """First one for each base that several share, which brings it to the builder; then all others."""
    first: dict[tuple[str, ...], Path] = {}
    others = []
    for place in places:
        assert place.context is not None
        bases = tuple(sorted(bases_of(place)))
        if bases in first:
            others.append(place.context)
        else:
            first[bases] = place.context
    return [each for each in ([*first.values()], others) if each]

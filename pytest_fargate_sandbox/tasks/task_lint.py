"""What is wrong with task folders, before anything is launched."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.providers.images.local_images import entry_points_of
from pytest_fargate_sandbox.tasks import task_inputs
from pytest_fargate_sandbox.tasks.dockerfile import stages_of
from pytest_fargate_sandbox.tasks.task_folder import TASK_FILES
from pytest_fargate_sandbox.tasks.task_places import agents_place, verifiers_place
from pytest_fargate_sandbox.tasks.task_reading import read_task, task_file_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.task_folder import Step, TaskFolder
    from pytest_fargate_sandbox.tasks.task_places import TaskPlace

_TOLD_EACH = 3
_SHOWN = 100
_OURS = ("host", "scratch")
"""What has no versions."""


class Finding(NamedTuple):
    """``error``: its tests cannot pass, or none is collected. ``skipped``: what it asks for cannot be had."""

    file: Path
    level: Literal["error", "skipped", "warning"]
    text: str

    @property
    def told(self) -> tuple[str, str]:
        """The place in the file, where one is known, and the sentence."""
        match = re.match(rf"{re.escape(str(self.file))}((?::\d+)*): ", self.text)
        return (match[1], self.text[match.end() :]) if match else ("", self.text)

    def __str__(self) -> str:
        place, sentence = self.told
        return f"{self.file}{place}: {self.level}: {sentence}"


_ONE_OF = " or ".join(TASK_FILES)


def task_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Of the task folders that these are, or that are below them. Raises ``TaskFolderError`` where there is none."""
    for path in paths:
        is_one = path.is_file() and path.name in TASK_FILES
        found = [path] if is_one else [*_below(path)] if path.is_dir() else []
        if not found:
            raise TaskFolderError(f"{path}: {f'no {_ONE_OF} there' if path.exists() else 'no such directory'}")
        yield from found


def _below(directory: Path) -> Iterator[Path]:
    found = task_file_in(directory)
    if found:
        yield found
        return
    for each in sorted(directory.iterdir()):
        if each.is_dir() and not each.is_symlink() and not each.name.startswith("."):
            yield from _below(each)


def findings(files: Iterable[Path], ttl: float | None = None) -> Iterator[Finding]:
    """In order of the files; ``ttl`` is how long a task may live, where the configuration says it."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    begun: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        try:
            folder = read_task(file)
        except TaskFolderError as error:
            yield Finding(file, "error", str(error))
            continue
        by_name[folder.name].append(file)
        yield from _of(folder, ttl, begun)
    yield from _entry_points(begun)
    for name, several in by_name.items():
        for file in several[1:]:
            yield Finding(file, "error", f"a task of the name {name!r} is also {several[0]}: results would be mixed up")


def lines_of(found: Iterable[Finding]) -> Iterator[str]:
    """As they are told: a warning that many tasks have, once for all of them, after the others."""
    several = list(found)
    sentences = [each.told[1] for each in several]
    alike = Counter(told for each, told in zip(several, sentences, strict=True) if each.level == "warning")
    common: dict[str, Path] = {}
    for each, told in zip(several, sentences, strict=True):
        if alike[told] <= _TOLD_EACH:
            yield str(each)
        else:
            common.setdefault(told, each.file)
    for told, file in common.items():
        yield f"{alike[told]} times, first in {file}: warning: {told}"


def _of(folder: TaskFolder, ttl: float | None, begun: dict[str, list[Path]]) -> Iterator[Finding]:
    """``begun`` is told by which image its sandboxes begin, where no Dockerfile of its own says how."""
    file = folder.file
    yield from (Finding(file, "warning", warning) for warning in (*folder.warnings, *folder.notes))
    if folder.obstacles:
        yield Finding(file, "skipped", "; ".join(folder.obstacles))
        return
    steps = folder.config.parts
    for step in steps:
        yield from _tried(folder, lambda step=step: _scripts(folder, step))  # type: ignore[misc]
    if not all((folder.step_instruction(step) if step else folder.instruction).strip() for step in steps):
        yield Finding(
            file, "warning", f"an agent is told nothing: {folder.layout.instruction or 'instruction'} is empty"
        )
    yield from _tried(folder, lambda: _links(folder))
    places: list[TaskPlace] = []
    yield from _tried(folder, lambda: _places(folder, steps, places))
    yield from _bases(file, places)
    for image in {image: 0 for place in places for image in _begins_by(place) if image not in _OURS}:
        begun[image].append(file)
    seconds = sum(map(folder.seconds, steps))
    if ttl is not None and seconds > ttl:
        told = f"agent and verifier may take {seconds:.0f} s together, and a task lives for {ttl:.0f} s (ttl)"
        yield Finding(file, "error", told)


def _tried(folder: TaskFolder, look: Callable[[], Iterable[str]]) -> Iterator[Finding]:
    """What ``look`` finds; what it raises is an error of the task's."""
    try:
        yield from (Finding(folder.file, "warning", text) for text in look())
    except TaskFolderError as error:
        yield Finding(folder.file, "error", str(error).removeprefix(f"{folder.name}: "))


def _scripts(folder: TaskFolder, step: Step | None) -> Iterator[str]:
    missing = []
    for find in (task_inputs.solution_of, task_inputs.tests_of):
        try:
            script = find(folder, step).script
        except TaskFolderError as error:
            missing.append(str(error).removeprefix(f"{folder.name}: "))
            continue
        if task_inputs.is_without_run_bit(script):
            yield f"{script.relative_to(folder.path)} has no run bit: it is given one in the sandbox"
    if missing:
        raise TaskFolderError("; ".join(missing))


def _links(folder: TaskFolder) -> Iterator[str]:
    for name in ("environment", "solution", "tests", "steps"):
        task_inputs.check_links(folder, folder.path / name)
    yield from ()


def _places(folder: TaskFolder, steps: Sequence[Step | None], places: list[TaskPlace]) -> Iterator[str]:
    places.append(agents_place(folder))
    places.extend(place for step in steps if (place := verifiers_place(folder, step)) not in places)
    for place in places:
        told = place.told
        if told:
            yield told
        place.keys(0)


def _bases(file: Path, places: Iterable[TaskPlace]) -> Iterator[Finding]:
    unpinned = {image for place in places for image in bases_of(place) if "@sha256:" not in image}
    for image in sorted(unpinned.difference(_OURS)):
        told = f"{image} is not pinned: the next build may have another, so say {image}@sha256:…"
        yield Finding(file, "warning", told)


def _begins_by(place: TaskPlace) -> Iterator[str]:
    if place.context is None:
        yield from [place.image] if place.image else []
        return
    for last in stages_of(place.context / "Dockerfile")[-1:]:
        if last.entry_point is None and "$" not in last.base:
            yield last.base


def _entry_points(begun: Mapping[str, Iterable[Path]]) -> Iterator[Finding]:
    """Of the images that lie here: others are looked at nowhere."""
    for image, words in entry_points_of(begun).items():
        told = (
            f"the ENTRYPOINT of {image} ({shlex.join(words)[:_SHOWN]}) is not run: if the task needs it, name it in a "
            "Dockerfile that begins with this image"
        )
        yield from (Finding(file, "warning", told) for file in begun[image])


def bases_of(place: TaskPlace) -> list[str]:
    """The images that it stands on, as far as they are known."""
    if place.context is None:
        return [place.image] if place.image else []
    bases = dict.fromkeys(stage.base for stage in stages_of(place.context / "Dockerfile"))
    return [base for base in bases if "$" not in base]

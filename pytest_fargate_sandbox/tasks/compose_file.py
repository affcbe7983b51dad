"""What a ``docker-compose.yaml`` says of a task: how many services it has, and what terminal-bench's one is like.

Only that name counts, as for Harbor and terminal-bench: a ``docker-compose.yml`` is a file of the task's, which may be
about it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.tasks.parsed_yaml import parsed_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HARNESS = re.compile(r"\$\{T_BENCH_\w+\}")
"""What terminal-bench fills in: names of the container and its image, and where it keeps logs."""
_TESTS = "${T_BENCH_TEST_DIR}"
_READ = ("build", "image", "environment", "working_dir", "volumes")
_SAYS_NOTHING_HERE = ("container_name", "command", "deploy", "expose", "platform", "ports", "stdin_open", "tty")
"""A container that is there for commands, at an address that nobody outside needs."""


@dataclass(frozen=True)
class Service:
    """The container that a task of terminal-bench is."""

    dockerfile: str = "Dockerfile"
    """From the task's folder."""
    image: str | None = None
    """Where it is not built."""
    working_dir: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def services_in(compose: Path) -> dict[str, Any]:
    """By name. Raises ``TaskFolderError``."""
    try:
        text = compose.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskFolderError(f"{compose}: cannot be read: {error}", path=str(compose)) from None
    table = parsed_yaml(compose, text)
    services = table.get("services") if isinstance(table, dict) else None
    return {str(name): said for name, said in services.items()} if isinstance(services, dict) else {}


def too_many(compose: Path) -> Iterator[str]:
    """Why there can be no verdict: one service is a container like any other."""
    services = sorted(services_in(compose))
    if len(services) > 1:
        yield f"{compose.name} has {len(services)} services ({', '.join(services)}), and a task has one here"


def only_service(compose: Path) -> Service:
    """As it is where the file says nothing of it. Raises ``TaskFolderError``."""
    services = services_in(compose) if compose.is_file() else {}
    said = next(iter(services.values())) if len(services) == 1 else None
    if not isinstance(said, dict):
        return Service()
    image, working_dir = (_own(said.get(key)) for key in ("image", "working_dir"))
    return Service(
        dockerfile=_dockerfile(compose, said.get("build")),
        image=None if "build" in said else image,
        working_dir=working_dir,
        environment=_environment(said.get("environment")),
        warnings=tuple(f"{compose}: {told}" for told in _passed_over(said)),
    )


def _own(value: Any) -> str | None:
    """What the task says itself."""
    return value if isinstance(value, str) and not _HARNESS.search(value) else None


def _dockerfile(compose: Path, build: Any) -> str:
    """Which one is built. Raises ``TaskFolderError`` for one that does not stand in the directory it is built from."""
    said = {"context": build} if isinstance(build, str) else build if isinstance(build, dict) else {}
    name = str(said.get("dockerfile") or "Dockerfile")
    if name.removeprefix("./") != "Dockerfile":
        sentence = (
            f"build.dockerfile is {name!r}, and only a Dockerfile in the directory of build.context is built here"
        )
        raise TaskFolderError(f"{compose}: {sentence}", path=str(compose))
    context = str(said.get("context") or ".").removeprefix("./").strip("/")
    return "Dockerfile" if context in ("", ".") else f"{context}/Dockerfile"


def _environment(said: Any) -> dict[str, str]:
    """Of a table, or a list of ``NAME=value``; a name alone has this machine's value, as ``${NAME}`` has."""
    if isinstance(said, dict):
        pairs = [(str(name), None if value is None else str(value)) for name, value in said.items()]
    else:
        lines = [str(line).partition("=") for line in (said if isinstance(said, list) else ())]
        pairs = [(name, value if equals else None) for name, equals, value in lines]
    told = {name: f"${{{name}:-}}" if value is None else value.replace(_TESTS, "/tests") for name, value in pairs}
    return {name: value for name, value in told.items() if not _HARNESS.search(value)}


def _passed_over(said: dict[str, Any]) -> Iterator[str]:
    volumes = said.get("volumes")
    for volume in volumes if isinstance(volumes, list) else ():
        if not _HARNESS.search(str(volume)):
            ends = (volume.get("source"), volume.get("target")) if isinstance(volume, dict) else (volume,)
            told = ":".join(str(each) for each in ends if each)
            yield f"its volume {told} is mounted nowhere here: what it holds has to be in the image"
    for key in said:
        if key not in (*_READ, *_SAYS_NOTHING_HERE):
            yield f"nobody reads {key!r} of its service here"

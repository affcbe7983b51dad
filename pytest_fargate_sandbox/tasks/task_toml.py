"""Harbor's ``task.toml``, schema 1.x."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.tasks.table_reader import TableReader
from pytest_fargate_sandbox.tasks.task_folder import (
    NETWORK_MODES,
    SEPARATE,
    SHARED,
    Step,
    Surroundings,
    TaskConfig,
    TaskFolder,
    Verifier,
)
from pytest_fargate_sandbox.tasks.task_networks import network_obstacles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEWEST = (1, 4)
"""The newest schema whose every key is known here."""

_LONGEST = 128 * 1024
"""Characters: of a key with a dot behind each of them Python's parser takes a minute, and of a megabyte hours."""

_MULTI_STEP = ("mean", "final")
_BAD_STEP_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_SIZE = re.compile(r"(?i)\s*(\d{1,12}(?:\.\d+)?)\s*([GMK])B?\s*")
_IN_MIB = {"G": 1024.0, "M": 1.0, "K": 1 / 1024}


def read_toml(file: Path) -> TaskFolder:
    """Raises ``TaskFolderError``."""
    text = file.read_text(encoding="utf-8")
    reader = TableReader(file, text)
    table = _parsed(file, text)
    _rename_the_old(reader, table)
    config = _understood(reader, reader.read(TaskConfig, table))
    _check(reader, config)
    return TaskFolder(
        path=file.parent,
        file=file,
        config=config,
        obstacles=tuple(_obstacles(config)),
        warnings=tuple(reader.warnings),
        notes=tuple(reader.notes),
    )


def _parsed(file: Path, text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise TaskFolderError(f"{file}: has more than {_LONGEST} characters, which no task needs", path=str(file))
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pytest brings it where the standard library has none
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        told = str(error)
        found = re.search(r"\(at line (\d+), column (\d+)\)", told)
        line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
        sentence = told.partition(" (at ")[0]
        raise TaskFolderError(
            f"{file}:{line}:{column}: does not parse: {sentence}", path=str(file), line=line, column=column
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists
        raise TaskFolderError(f"{file}: does not parse: {error}", path=str(file)) from None


def _rename_the_old(reader: TableReader, table: dict[str, Any]) -> None:
    """What was called otherwise in schema 1.0, in place."""
    if "version" in table:
        table.setdefault("schema_version", str(table.pop("version")))
    for where, surroundings in _all_surroundings(table):
        for old, new in (("memory", "memory_mb"), ("storage", "storage_mb")):
            if old in surroundings:
                said = surroundings.pop(old)
                found = _SIZE.fullmatch(said) if isinstance(said, str) else None
                if not found:
                    raise reader.wrong(f"{where}.{old}", said, "a size like '2G' or '512M'")
                size = int(float(found[1]) * _IN_MIB[found[2].upper()])
                if surroundings.setdefault(new, size) != size:
                    raise reader.wrong(f"{where}.{old}", said, f"the same as {new}, which is {surroundings[new]}")


def _all_surroundings(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    def under(where: str, *keys: str) -> Iterator[tuple[str, dict[str, Any]]]:
        found: Any = table
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict):
            yield where, found

    yield from under("environment", "environment")
    yield from under("verifier.environment", "verifier", "environment")
    steps = table.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        verifier = step.get("verifier") if isinstance(step, dict) else None
        inner = verifier.get("environment") if isinstance(verifier, dict) else None
        if isinstance(inner, dict):
            yield f"steps[{number}].verifier.environment", inner


def _understood(reader: TableReader, config: TaskConfig) -> TaskConfig:
    """``allow_internet`` as the mode that it means, and words in the case that they are known in."""
    return dataclasses.replace(
        config,
        environment=_with_network(reader, config.environment, "environment"),
        verifier=_with_surroundings(reader, config.verifier, "verifier"),
        steps=[
            dataclasses.replace(step, verifier=_with_surroundings(reader, step.verifier, f"steps[{number}].verifier"))
            for number, step in enumerate(config.steps)
        ],
    )


def _with_surroundings(reader: TableReader, verifier: Verifier, where: str) -> Verifier:
    if verifier.environment is None:
        return verifier
    return dataclasses.replace(
        verifier, environment=_with_network(reader, verifier.environment, f"{where}.environment")
    )


def _with_network(reader: TableReader, said: Surroundings, where: str) -> Surroundings:
    mode = said.network_mode
    if said.allow_internet is not None:
        reader.notes.append(f"{where}.allow_internet is network_mode now")
        if mode is None and said.allowed_hosts is None:
            mode = "public" if said.allow_internet else "no-network"
    return dataclasses.replace(said, os=said.os.lower(), network_mode=mode)


# --- what cannot be meant ---------------------------------------------------------------------------------------------


def _check(reader: TableReader, config: TaskConfig) -> None:
    _check_version(reader, config.schema_version)
    _check_choice(reader, "multi_step_reward_strategy", config.multi_step_reward_strategy, _MULTI_STEP)
    _check_surroundings(reader, config.environment, "environment")
    _check_verifier(reader, config.verifier, "verifier")
    _check_artifacts(reader, config, "artifacts")
    names: set[str] = set()
    for number, step in enumerate(config.steps):
        where = f"steps[{number}]"
        _check_step_name(reader, step, where, names)
        _check_verifier(reader, step.verifier, f"{where}.verifier")
        _check_artifacts(reader, step, f"{where}.artifacts")


def _check_version(reader: TableReader, version: str) -> None:
    found = re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)?", version)
    if not found:
        raise reader.wrong("schema_version", version, "a version like '1.4'")
    said = (int(found[1]), int(found[2]))
    if said[0] != NEWEST[0]:
        newest = ".".join(map(str, NEWEST))
        raise reader.wrong("schema_version", version, f"1.x: this release reads up to {newest}, so upgrade it")
    if said > NEWEST:
        reader.warnings.append(f"schema_version {version} is newer than all that is known here: 1.{NEWEST[1]}")


def _check_choice(reader: TableReader, where: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise reader.wrong(where, value, " or ".join(map(repr, choices)))


def _check_surroundings(reader: TableReader, said: Surroundings, where: str) -> None:
    _check_choice(reader, f"{where}.os", said.os, ("linux", "windows"))
    _check_choice(reader, f"{where}.network_mode", said.network_mode, NETWORK_MODES)
    for key in ("cpus", "memory_mb", "storage_mb"):
        value = getattr(said, key)
        if value is not None and not value > 0:
            raise reader.wrong(f"{where}.{key}", value, "more than 0")
    if said.workdir is not None and not said.workdir.startswith("/"):
        raise reader.wrong(f"{where}.workdir", said.workdir, "an absolute path")


def _check_verifier(reader: TableReader, verifier: Verifier, where: str) -> None:
    _check_choice(reader, f"{where}.environment_mode", verifier.environment_mode, (SHARED, SEPARATE))
    if verifier.environment is not None:
        if verifier.environment_mode == SHARED:
            raise reader.error(f"{where}.environment_mode is 'shared', and there is a {where}.environment", where)
        _check_surroundings(reader, verifier.environment, f"{where}.environment")


def _check_artifacts(reader: TableReader, said: TaskConfig | Step, where: str) -> None:
    for number, artifact in enumerate(said.artifacts):
        if ".." in artifact.source.split("/"):
            raise reader.wrong(f"{where}[{number}].source", artifact.source, "a path without ..")


def _check_step_name(reader: TableReader, step: Step, where: str, names: set[str]) -> None:
    name = step.name
    if not name.strip() or name in (".", "..") or name.endswith((".", " ")) or _BAD_STEP_NAME.search(name):
        raise reader.wrong(f"{where}.name", name, "the name of a directory under steps/")
    if name.casefold() in names:
        raise reader.error(f"two steps are called {name!r}", f"{where}.name")
    names.add(name.casefold())


# --- what cannot be had -----------------------------------------------------------------------------------------------


def _obstacles(config: TaskConfig) -> Iterator[str]:
    """Each verdict without these could be wrong, so there is none."""
    yield from _lacking(config.environment)
    phases = [config.agent, config.verifier, *(each for step in config.steps for each in (step.agent, step.verifier))]
    surroundings = [config.environment, *(each.environment for each in phases if isinstance(each, Verifier))]
    for said in surroundings[1:]:
        if said is not None:
            yield from _lacking(said)
    if any(each is not None and each.network_mode == "allowlist" for each in (*surroundings, *phases)):
        yield "network_mode = 'allowlist' cannot be enforced yet"
    yield from network_obstacles(config)
    others = {each.service for each in config.verifier.collect} | {each.service for each in config.artifacts}
    for step in config.steps:
        others |= {each.service for each in step.artifacts} | {each.service for each in step.verifier.collect}
    others -= {None, "main"}
    if others:
        yield f"it has artifacts of other services than main: {', '.join(sorted(map(str, others)))}"


def _lacking(said: Surroundings) -> Iterator[str]:
    if said.os == "windows":
        yield "it takes Windows, and Fargate's tasks are Linux here"
    if said.gpus:
        yield f"it takes {said.gpus} GPUs, and Fargate has none"
    if said.tpu:
        yield "it takes a TPU, and Fargate has none"
    if said.mcp_servers:
        yield "it has MCP servers, which nobody starts here"

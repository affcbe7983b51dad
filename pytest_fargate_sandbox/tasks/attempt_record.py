"""An attempt as a line of JSON, and a file of such lines: what a run found, for who carries on with it."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VERSION = 1

VERDICTS = ("pass", "fail", "none", "error", "skipped")
"""The first two can be evaluated: the others say nothing of the agent."""


def is_evaluable(record: Mapping[str, Any]) -> bool:
    return record["verdict"] in VERDICTS[:2]


class ResultsFile:
    """Lines are written as attempts end: a run that breaks off has told what it knew."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def add(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"version": VERSION, **record}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def records_in(path: Path) -> dict[str, dict[str, Any]]:
    """The last record of each test. A last line that was cut short is as if it were not there.

    Raises ``ConfigError``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", key="path", value=str(path)) from None
    # Not splitlines(): what an agent said may have ends of lines that JSON has none for.
    return {record["test"]: record for record in _parsed(path, text.rstrip("\n").split("\n"))}


def _parsed(path: Path, lines: list[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is not None and record["version"] != VERSION:
            told = f"is of version {record['version']}, and this release reads {VERSION}"
            raise ConfigError(f"{path}:{number}: {told}", key="path", value=str(path))
        if record is None and number < len(lines):
            raise ConfigError(f"{path}:{number}: is no line of results", key="path", value=str(path))
        if record is not None:
            yield record


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or "version" not in record:
        return None
    known = isinstance(record.get("test"), str) and record.get("verdict") in VERDICTS
    return record if known or record["version"] != VERSION else None

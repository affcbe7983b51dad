"""From a parsed file to dataclasses: each value checked against its field, each mistake told with its line and column.

A key that no field has is a warning with the nearest name: a newer format may have it, or somebody mistyped it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.leaves.plain_values import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_Table = TypeVar("_Table")

_WORDS: dict[Any, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}


_MOST_WARNINGS = 100
"""Each is looked up in the text: of a file of nothing else the rest is left out."""


class TableReader:
    """Reads one file; ``warnings`` has what was passed over, ``notes`` what would be said otherwise now."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._text = text
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def read(self, kind: type[_Table], table: Any, where: str = "") -> _Table:
        """``table`` as a ``kind``; what is null in YAML is as good as not said. Raises ``TaskFolderError``."""
        if table is None and not where:
            raise self.error("there is nothing in it", where)
        if not isinstance(table, dict):
            raise self.wrong(where or "it", table, _WORDS[dict])
        made_of: Any = kind
        hints = _hints(made_of)
        self.warn_of_unknown(table, hints, where)
        values = {
            key: self._value(value, hints[key], _joined(where, key))
            for key, value in table.items()
            if key in hints and value is not None
        }
        for key, value in values.items():
            self._check_seconds(_joined(where, key), value)
        missing = [name for name in _needed(made_of) if name not in values]
        if missing:
            raise self.error(f"{where or 'it'} has no {missing[0]!r}", where)
        return kind(**values)

    def warn_of_unknown(self, table: Mapping[str, Any], known: Collection[str], where: str) -> None:
        for key in table:
            if key not in known and len(self.warnings) < _MOST_WARNINGS:
                near = nearest(str(key), list(known))
                self.warnings.append(f"{self._place(_joined(where, key))}: nobody reads {_joined(where, key)!r}{near}")

    def _check_seconds(self, where: str, value: Any) -> None:
        if isinstance(value, float) and where.endswith("_sec") and value < 0:
            raise self.wrong(where, value, "0 or more")
        if isinstance(value, float) and where.endswith("timeout_sec") and value == 0:
            raise self.wrong(where, value, "more than 0")

    def wrong(self, where: str, value: Any, expected: str) -> TaskFolderError:
        return self.error(f"{where} is {value!r:.200}: expected {expected}", where)

    def error(self, sentence: str, where: str) -> TaskFolderError:
        line, column = position_of(self._text, where)
        return TaskFolderError(f"{self._place(where)}: {sentence}", path=str(self._file), line=line, column=column)

    def _place(self, where: str) -> str:
        line, column = position_of(self._text, where)
        return f"{self._file}:{line}:{column}" if line else str(self._file)

    def _value(self, value: Any, hint: Any, where: str) -> Any:
        choices = [each for each in _either(hint) if each is not type(None)]
        for kind in choices:
            if _fits(value, kind):
                return self._converted(value, kind, where)
        raise self.wrong(
            where, value, " or ".join(_WORDS.get(typing.get_origin(kind) or kind, "a table") for kind in choices)
        )

    def _converted(self, value: Any, kind: Any, where: str) -> Any:
        if kind is float:
            if not math.isfinite(value):
                raise self.wrong(where, value, "a finite number")
            return float(value)
        inner = typing.get_args(kind)
        if typing.get_origin(kind) is list:
            return [self._element(each, inner[0], f"{where}[{number}]") for number, each in enumerate(value)]
        if typing.get_origin(kind) is dict:
            return {key: self._value(each, inner[1], _joined(where, key)) for key, each in value.items()}
        return self.read(kind, value, where) if _is_table(kind) else value

    def _element(self, value: Any, kind: Any, where: str) -> Any:
        """Where a list has tables that need one thing only, that one may stand for the table."""
        if isinstance(value, str) and _is_table(kind) and len(_needed(kind)) == 1:
            value = {_needed(kind)[0]: value}
        return self._value(value, kind, where)


def position_of(text: str, where: str) -> tuple[int, int]:
    """The line and column where ``steps[1].agent.user`` is said in a TOML or YAML text; zeros if it is not found.

    Parsers tell no positions of what they accept. This looks for the tables' heads and then for the key, so what is
    written in some unusual way is found at its table, or not at all; nothing but a message hangs on it.
    """
    lines, begin = text.split("\n"), 0
    above, found = "", (0, 0)
    for name, number in re.findall(r"([^.\[\]]+)(?:\[(\d+)\])?", where):
        above = _joined(above, name)
        spot = _next(lines, begin, above, int(number or 0))
        if spot is not None:
            found = spot
            begin = spot[0] - 1
    return found


def _next(lines: list[str], begin: int, path: str, times: int) -> tuple[int, int] | None:
    key = re.escape(path.rpartition(".")[2])
    # A table's head may be that of a table in it, where the outer one has nothing else to say.
    spot = re.compile(rf"\s*(?:(?P<head>\[+\s*{re.escape(path)}[\].])|(?P<key>[\"']?{key}[\"']?\s*[=:]))")
    hits = [(number, match) for number, line in enumerate(lines[begin:], begin + 1) if (match := spot.match(line))]
    if not hits:
        return None
    number, match = hits[min(times, len(hits) - 1)]
    return number, match.start("head" if match["head"] else "key") + 1


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@cache
def _needed(kind: Any) -> tuple[str, ...]:
    missing = dataclasses.MISSING
    return tuple(
        each.name for each in dataclasses.fields(kind) if each.default is missing and each.default_factory is missing
    )


def _is_table(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _either(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    if kind is Any:
        return True
    if isinstance(value, bool):
        return origin is bool
    if origin is float:
        return isinstance(value, (int, float))
    return isinstance(value, dict if _is_table(origin) else origin)

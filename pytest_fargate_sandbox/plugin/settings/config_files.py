"""Reading settings from a JSON, TOML or YAML file; one that does not parse says where, by line and column."""

from __future__ import annotations

import difflib
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_fargate_sandbox.plugin.settings import option_table, option_values, vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_TOOL = "pytest_fargate_sandbox"
_MEANT = (_TOOL, "fargate_sandbox", "pytest_fargate")
"""What a table was called that should have had our name."""


class Setting(NamedTuple):
    """``key`` is a field of ``EcsFargateConfig``, or ``run.`` and the name of an option that concerns the run."""

    key: str
    value: Any
    source: str


def settings_in(path: Path) -> Iterator[Setting]:
    """What a file says, or ``[tool.pytest_fargate_sandbox]`` of a pyproject.toml."""
    yield from _settings(read_mapping(path), path.name, "")


def _settings(mapping: Mapping[str, Any], source: str, under: str) -> Iterator[Setting]:
    """Run options may stand under ``run`` or beside the others; each thing has its word, and its other name."""
    mapping = {str(key): value for key, value in mapping.items()}  # in YAML `on` is no word, nor is 80
    try:
        words = list(vocabulary.in_our_words(mapping))
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {error}") from None
    for (word, value), key in zip(words, mapping, strict=True):
        if word == "run" and not under:
            if not isinstance(value, dict):
                raise pytest.UsageError(f"{source}: run={value!r}: expected a table of run options")
            yield from _settings(value, source, "run.")
            continue
        name = vocabulary.run_option_for(word.replace("-", "_"))
        option = option_table.OPTIONS.get(name)
        if option is not None and not option.sets and name != "config":
            yield Setting(option.key, option_values.checked(option, value, f"{source}: {under}{key}"), source)
            continue
        field = vocabulary.field_for(word)
        if under or field not in _fields():
            raise pytest.UsageError(_unknown(source, under, key))
        yield Setting(field, value, source if key == word else f"{source}: {key}")


def _unknown(source: str, under: str, key: str) -> str:
    from pytest_fargate_sandbox.leaves.plain_values import nearest_or_all

    ours = [vocabulary.word_for(each.name) for each in option_table.TABLE if not each.sets and each.name != "config"]
    if under:
        return f"{source}: unknown run option {key!r}{nearest_or_all(key, ours)}"
    words = [*map(vocabulary.word_for, _fields()), *ours]
    return f"{source}: unknown key {key!r}{nearest_or_all(key, words, _fields())}"


def _fields() -> tuple[str, ...]:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

    return tuple(EcsFargateConfig.__dataclass_fields__)


def read_mapping(path: Path) -> Mapping[str, Any]:
    """The mapping in ``path``, by its suffix."""
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise pytest.UsageError(f"{path}: expected a file that ends in {', '.join(_PARSERS)}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise pytest.UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise pytest.UsageError(f"{path}: is not UTF-8: {error}") from None
    try:
        mapping = parse(path, text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists, no such day
        raise pytest.UsageError(f"{path}: does not parse: {error}") from None
    if not isinstance(mapping, dict):
        raise pytest.UsageError(f"{path}: expected a mapping at the top, not {type(mapping).__name__}")
    return _tool_table(path, mapping) if path.name == "pyproject.toml" else mapping


def _tool_table(pyproject: Path, data: Mapping[str, Any]) -> Mapping[str, Any]:
    tools = data.get("tool", {})
    for name in tools:
        alike = name.lower().replace("-", "_")
        if name != _TOOL and difflib.get_close_matches(alike, _MEANT, n=1, cutoff=0.9):
            raise pytest.UsageError(f"{pyproject}: nobody reads [tool.{name}]: our table is [tool.{_TOOL}]")
    found = tools.get(_TOOL, {})
    if not isinstance(found, dict):
        raise pytest.UsageError(f"{pyproject}: [tool.{_TOOL}] is not a table")
    return found


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _does_not_parse(path, error.msg, error.lineno, error.colno) from None


def _toml(_path: Path, text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pytest brings it where the standard library has none
    return tomllib.loads(text)


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise pytest.UsageError(f"{path}: reading YAML takes PyYAML: pip install pyyaml") from None
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _does_not_parse(path, error.problem or "", mark.line + 1, mark.column + 1) from None
    except yaml.YAMLError as error:  # a sign that no text has
        raise pytest.UsageError(f"{path}: does not parse: {error}") from None


def _does_not_parse(path: Path, problem: str, line: int, column: int) -> pytest.UsageError:
    return pytest.UsageError(f"{path}: does not parse: {problem} (at line {line}, column {column})")


_PARSERS: dict[str, Callable[[Path, str], Any]] = {".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml}

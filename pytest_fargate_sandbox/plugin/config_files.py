"""Reading a mapping from a JSON, TOML or YAML file; one that does not parse says where, by line and column."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_TOOL = "pytest_fargate_sandbox"


def read(path: Path) -> Mapping[str, Any]:
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
    mapping = parse(path, text)
    if path.name == "pyproject.toml":
        return tool_table(path)
    if not isinstance(mapping, dict):
        raise pytest.UsageError(f"{path}: expected a mapping at the top, not {type(mapping).__name__}")
    return mapping


def tool_table(pyproject: Path) -> Mapping[str, Any]:
    """``[tool.pytest_fargate_sandbox]`` of a pyproject.toml, or nothing."""
    data = _toml(pyproject, pyproject.read_text(encoding="utf-8"))
    found = data.get("tool", {}).get(_TOOL, {})
    if not isinstance(found, dict):
        raise pytest.UsageError(f"{pyproject}: [tool.{_TOOL}] is not a table")
    return found


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _does_not_parse(path, error.msg, error.lineno, error.colno) from None


def _toml(path: Path, text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pytest brings it where the standard library has none
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise pytest.UsageError(f"{path}: does not parse: {error}") from None


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


def _does_not_parse(path: Path, problem: str, line: int, column: int) -> pytest.UsageError:
    return pytest.UsageError(f"{path}: does not parse: {problem} (at line {line}, column {column})")


_PARSERS: dict[str, Callable[[Path, str], Any]] = {".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml}

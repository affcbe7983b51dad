"""YAML as it is parsed. That takes PyYAML, which moto brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import TaskFolderError

if TYPE_CHECKING:
    from pathlib import Path


_MOST = 1 << 24
"""Characters of it, written out."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_LONGEST_NUMBER = 4300
"""As Python has it; one in minutes and seconds (``1:1:1``) would take it minutes."""


def parsed_yaml(file: Path, text: str) -> Any:
    """Raises ``TaskFolderError``."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise TaskFolderError(f"{file}: reading YAML takes PyYAML: pip install pyyaml", path=str(file)) from None
    try:
        return _constructed(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise TaskFolderError(
            f"{file}:{line}:{column}: does not parse: {error.problem}", path=str(file), line=line, column=column
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # a character that is none, or a date that is none
        raise TaskFolderError(f"{file}: does not parse: {error}", path=str(file)) from None
    except RecursionError:
        raise TaskFolderError(f"{file}: does not parse: it is too deep", path=str(file)) from None


def _constructed(file: Path, loader: Any) -> Any:
    try:
        node = loader.get_single_node()
        if _written_out(node, {}) > _MOST:
            raise TaskFolderError(f"{file}: its aliases (*) make more than {_MOST} characters of it", path=str(file))
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: Any, known: dict[int, int]) -> int:
    """How long it would be without aliases, of which a kilobyte can make what no memory holds, told in any sentence."""
    content = getattr(node, "value", "")
    if isinstance(content, str):
        if getattr(node, "tag", "") in _NUMBERS and len(content) > _LONGEST_NUMBER:
            raise ValueError(f"a number of {len(content)} characters")
        return len(content) + 1
    if id(node) not in known:
        known[id(node)] = _MOST + 1  # if it is in itself
        parts = (part for each in content for part in (each if isinstance(each, tuple) else (each,)))
        known[id(node)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(node)]

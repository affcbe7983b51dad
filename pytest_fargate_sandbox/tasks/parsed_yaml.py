"""YAML as it is parsed. That takes PyYAML, which moto brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import TaskFolderError

if TYPE_CHECKING:
    from pathlib import Path


def parsed_yaml(file: Path, text: str) -> Any:
    """Raises ``TaskFolderError``."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise TaskFolderError(f"{file}: reading YAML takes PyYAML: pip install pyyaml", path=str(file)) from None
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
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

"""What docs/library.md has of the code: fields and errors. ``python -m tests.leaves.config_page`` writes it there."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from pathlib import Path

from pytest_fargate_sandbox.leaves import config, errors

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def with_parts(text: str) -> str:
    """Each behind its comment, in place of what stands there."""
    for name, part in {"fields": _fields(), "errors": _errors()}.items():
        before, comment, after = text.partition(f"<!-- {name}: made by `python -m tests.leaves.config_page` -->\n")
        assert comment, f"the page has no place for {name}"
        rest = re.split(r"^<!-- end -->\n", after, maxsplit=1, flags=re.MULTILINE)[-1]
        text = f"{before}{comment}\n{part}<!-- end -->\n{rest}"
    return text


def _fields() -> str:
    rows = []
    for kind in (config.EcsFargateConfig, config.SshSidecarConfig):
        rows += [f"| `{kind.__name__}` | default | |\n", "| --- | --- | --- |\n"]
        rows += [f"| `{name}` | `{default}` | {meaning} |\n" for name, default, meaning in _rows(kind)]
        rows.append("\n")
    return "".join(rows[:-1])


def _rows(kind: type) -> list[tuple[str, str, str]]:
    """Of each field its docstring, which Python itself throws away."""
    [body] = [node.body for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef)]
    rows = []
    for field, told in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(told, ast.Expr), f"nothing is said of {field.target.id}"
            assert isinstance(told.value, ast.Constant)
            default = repr(getattr(kind(), field.target.id))
            rows.append((field.target.id, default, _markdown(str(told.value.value))))
    return rows


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").removesuffix(".")


def _errors() -> str:
    tree = str(errors.__doc__).partition("\n\n    ")[2]
    return f"```\n{textwrap.dedent('    ' + tree)}```\n"


if __name__ == "__main__":
    PAGE.write_text(with_parts(PAGE.read_text()))

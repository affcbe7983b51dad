"""The table of reasons as docs/aws.md shows it: ``python -m`` this prints it."""

from __future__ import annotations

import re

from pytest_fargate_sandbox.providers.aws.reasons import REASONS

_HEAD = "| AWS says | cause | again | what to do |\n| --- | --- | --- | --- |\n"


def table() -> str:
    rows = (
        f"| [{_cell(each.example)}]({each.source}) | `{each.cause}` | {'yes' if each.transient else ''} "
        f"| {_cell(each.remedy)} |\n"
        for each in REASONS
    )
    return _HEAD + "".join(rows)


def _cell(text: str) -> str:
    return re.sub(r"\{(\w+)(!r)?\}", r"*\1*", text.replace("|", "\\|"))


if __name__ == "__main__":
    print(table(), end="")

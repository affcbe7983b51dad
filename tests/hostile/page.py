"""The tables of docs/security.md, made of the rows. ``python -m tests.hostile.page`` writes them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.rows import ALLOWED, ELSEWHERE, REACHED, RUNNERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.hostile.rows import Row

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def tables() -> dict[str, str]:
    """By the word in the comment that each stands behind."""
    return {"reached": _by_runner(REACHED), "allowed": _by_runner(ALLOWED), "elsewhere": _elsewhere()}


def _by_runner(rows: Sequence[Row]) -> str:
    head = _line("", *RUNNERS, "what remains, or how") + _line(*["---"] * 5)
    return head + "".join(_line(row.what, *row.cells, row.left) for row in rows)


def _elsewhere() -> str:
    head = _line("who, and what for", "what he reaches", "held by") + _line(*["---"] * 3)
    return head + "".join(
        _line(who, what, ", ".join(f"[{Path(test).stem}](../{test})" for test in tests.split(", ")))
        for who, what, tests in ELSEWHERE
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def with_tables(text: str) -> str:
    """Each behind its comment, in place of what stands there."""
    for name, table in tables().items():
        before, comment, after = text.partition(f"<!-- {name}: made by `python -m tests.hostile.page` -->\n\n")
        assert comment, f"the page has no place for {name}"
        old = "".join(itertools.takewhile(lambda line: line.startswith("|"), after.splitlines(keepends=True)))
        text = before + comment + table + ("" if old else "\n") + after.removeprefix(old)
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))

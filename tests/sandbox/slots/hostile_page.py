"""The tables of docs/slots.md, made of the rows. ``python -m tests.sandbox.slots.hostile_page`` writes them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sandbox.slots.hostile_rows import HELD_UP, ISOLATIONS, LEFT, REACHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sandbox.slots.hostile_rows import Row

PAGE = Path(__file__).parents[3] / "docs" / "slots.md"
_TABLES = {"reached": REACHED, "held up": HELD_UP, "left": LEFT}
"""By the word in the comment that each stands behind."""


def _table(rows: Sequence[Row]) -> str:
    head = _line("", *ISOLATIONS, "what remains, or how", "held by") + _line(*["---"] * (len(ISOLATIONS) + 3))
    return head + "".join(_line(row.what, *row.cells, row.left, _link(row.test)) for row in rows)


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})" if test else ""


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def with_tables(text: str) -> str:
    """Each behind its comment, in place of what stands there."""
    for name, rows in _TABLES.items():
        before, comment, after = text.partition(
            f"<!-- {name}: made by `python -m tests.sandbox.slots.hostile_page` -->\n\n"
        )
        assert comment, f"the page has no place for {name}"
        old = "".join(itertools.takewhile(lambda line: line.startswith("|"), after.splitlines(keepends=True)))
        text = before + comment + _table(rows) + ("" if old else "\n") + after.removeprefix(old)
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))

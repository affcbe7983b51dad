from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks._pictures import draw
from benchmarks.figures import at_least, at_most, save, told

if TYPE_CHECKING:
    from pathlib import Path


def test_benchmarks_are_drawn_against_their_bounds_and_what_was_measured_before(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 4.0):
        figures = [
            at_most("start", value, 2.0, " s", "the <median> of 5"),
            at_least("rate", value, 2.0, "/s"),
            told("memory & more", value * 100, " MB"),
        ]
        save(figures, tmp_path / "results" / "sandbox.json")
    draw(tmp_path / "results", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert re.findall(r'class="bar (\w*)" y="11" width="([0-9.]+)"', text) == [
        ("missed", "318.0"),
        ("kept", "318.0"),
        ("", "200.0"),
    ]
    assert re.findall(r'class="before" x="([0-9.]+)"', text) == ["98.0", "198.0"] * 2 + ["48.0", "98.0"]
    assert 'aria-label="4 s, ✗ not kept: at most 2 s; before: 1, 2"' in text
    assert "the &lt;median&gt; of 5" in text

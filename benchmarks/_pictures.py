"""The figures as a page: each against the bound that it has to keep, and against what was measured before.

Every row has a scale of its own, on which the bound stands at the same place, so that all rows are read alike: a bar
ends before the line where it may be ``at most`` so much, and behind it where it has to be ``at least``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_WIDTH, _BOUND_AT = 320, 200
"""Of a row's picture, and where the bound stands in it."""

_STYLE = """
:root { color-scheme: light dark; --ink: #16202c; --soft: #566273; --line: #dde2e9; --ground: #f6f7f9; --card: #fff;
  --good: #00684e; --bad: #b23c00; --plain: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ecf2; --soft: #9fabba; --line: #2a3440; --ground: #0f141a;
  --card: #171e26; --good: #3fcf9f; --bad: #ff8f5c; --plain: #7ab8ff; } }
body { margin: 0 auto; max-width: 1180px; padding: 1.5rem 1rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
h2 small { color: var(--soft); font-weight: 400; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .3rem 1rem; }
.row { display: grid; grid-template-columns: 1fr 12rem 20rem; gap: .2rem 1.2rem; align-items: center; padding: .6rem 0;
  border-top: 1px solid var(--line); }
.row:first-child { border-top: 0; }
.row p { margin: 0; } .detail, .bound { color: var(--soft); font-size: .82rem; }
.value { text-align: right; font-variant-numeric: tabular-nums; font-weight: 600; }
.kept { color: var(--good); } .missed { color: var(--bad); }
svg { width: 100%; height: 34px; display: block; }
.track { fill: var(--line); } .bar { fill: var(--plain); } .bar.kept { fill: var(--good); }
.bar.missed { fill: var(--bad); } .line { stroke: var(--ink); stroke-width: 2; }
.before { fill: var(--ink); opacity: .35; }
@media (max-width: 760px) { .row { grid-template-columns: 1fr auto; } .row svg { grid-column: 1 / -1; } }
"""


def draw(results: Path, page: Path) -> None:
    """All that was measured up to now. Raises ``OSError``."""
    parts = "".join(_benchmark(path) for path in sorted(results.glob("*.json")))
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Benchmarks</title>'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>Benchmarks</h1>"
        "<p>A bar is what was measured, the upright line what is asked, a dot what was measured before.</p>"
        f"{parts or '<p>Nothing was measured yet.</p>'}</main></body></html>\n",
        encoding="utf-8",
    )


def _benchmark(path: Path) -> str:
    taken = json.loads(path.read_text(encoding="utf-8"))
    earlier = [json.loads(line)["figures"] for line in _lines(path.with_suffix(".earlier.jsonl"))]
    rows = "".join(_row(figure, _before(figure, earlier)) for figure in taken["figures"])
    when = f" <small>{escape(str(taken['taken']))}</small>"
    return f'<h2>{escape(path.stem)}{when}</h2>\n<div class="card">{rows}</div>\n'


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _before(figure: Mapping[str, Any], earlier: Sequence[Sequence[Mapping[str, Any]]]) -> list[float]:
    return [float(each["value"]) for figures in earlier for each in figures if each["name"] == figure["name"]]


def _row(figure: Mapping[str, Any], before: Sequence[float]) -> str:
    unit = escape(str(figure["unit"]))
    state = {True: "kept", False: "missed", None: ""}[figure["kept"]]
    word = {True: "✓ ", False: "✗ not kept: ", None: ""}[figure["kept"]]
    asked = "" if figure["kept"] is None else f"{word}{escape(figure['sense'])} {figure['bound']:g}{unit}"
    told = f"{figure['value']:.3g}{unit}, {asked or 'for information'}; before: {_list(before) or 'nothing'}"
    return (
        f'<div class="row"><div><p>{escape(figure["name"])}</p><p class="detail">{escape(figure["detail"])}</p></div>'
        f'<div class="value {state}">{figure["value"]:.3g}{unit}<p class="bound {state}">{asked}</p></div>'
        f'<svg viewBox="0 0 {_WIDTH} 34" preserveAspectRatio="none" role="img" aria-label="{told}">'
        f"{''.join(_picture(figure, before, state))}</svg></div>\n"
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _picture(figure: Mapping[str, Any], before: Sequence[float], state: str) -> Iterator[str]:
    bound = figure["bound"]
    full = bound or max([figure["value"], *before], default=0.0)

    def at(value: float) -> float:
        return min(_WIDTH - 2.0, max(0.0, value / full * _BOUND_AT)) if full > 0 else 0.0

    yield f'<rect class="track" y="16" width="{_WIDTH}" height="2"/>'
    yield f'<rect class="bar {state}" y="11" width="{at(figure["value"]):.1f}" height="12" rx="2"/>'
    for value in before:
        yield f'<rect class="before" x="{at(value) - 2:.1f}" y="26" width="4" height="4"/>'
    if bound:
        yield f'<line class="line" x1="{_BOUND_AT}" x2="{_BOUND_AT}" y1="4" y2="30"/>'

"""Run the benchmarks named on the command line, or all of them; print a table, keep the JSON."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from importlib.util import find_spec
from pathlib import Path

import benchmarks
from benchmarks._pictures import draw
from benchmarks.figures import HEADER, Figure, row, save

RESULTS = Path(__file__).parent / "results"


def names() -> list[str]:
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return [name for name in found if name not in ("__main__", "figures") and not name.startswith("_")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(names())} (default: all)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw the figures, and what was measured before")
    arguments = parser.parse_args()
    chosen = arguments.names or names()
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}")
    missed = False
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        harness = getattr(module, "HARNESS", None)
        if harness and find_spec(harness) is None:
            print(f"\n## {name}\nnot measured: this Python has no {harness}; tests/adapters/run makes one that has")
            continue
        print(f"\n## {name}\n{HEADER}", flush=True)
        taken: list[Figure] = []
        for figure in module.figures():
            taken.append(figure)
            print(row(figure), flush=True)
        save(taken, RESULTS / f"{name}.json")
        missed = missed or any(figure.kept is False for figure in taken)
    if arguments.html:
        draw(RESULTS, arguments.html)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

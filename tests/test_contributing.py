"""CONTRIBUTING shows the house as it is: every folder, and no file that is not there."""

from __future__ import annotations

import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_fargate_sandbox"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
HOUSE = next(block for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) if "plugin/" in block)


def _folders_shown() -> set[str]:
    shown, above = set(), [""]
    for line in HOUSE.splitlines():
        found = re.match(r"( *)(\w+)/ ", line)
        if found:
            depth = len(found[1]) // 4
            above[depth + 1 :] = [f"{above[depth]}{found[2]}/"]
            shown.add(above[-1])
    return shown


def test_the_house_has_the_folders_that_it_is_shown_with() -> None:
    there = {f"{each.parent.relative_to(PACKAGE)}/" for each in PACKAGE.rglob("*/__init__.py")}
    assert _folders_shown() == there


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`([a-z_0-9]+/[a-z_0-9/]+\.py|[a-z_]+\.py)`", TEXT))
    assert len(named) > 40
    assert sorted(name for name in named if not any((p / name).exists() for p in (PACKAGE, ROOT))) == []


def test_what_is_named_in_a_file_stands_there() -> None:
    places = re.findall(r"`([A-Z_][A-Za-z_]+)` in `([a-z_0-9/]+\.py)`", TEXT)
    assert len(places) >= 3
    assert [(name, file) for name, file in places if name not in (PACKAGE / file).read_text()] == []


def test_no_file_name_stands_twice() -> None:
    names = Counter(each.name for each in PACKAGE.rglob("*.py") if each.stem not in ("__init__", "__main__"))
    assert [name for name, times in names.items() if times > 1] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(PACKAGE.name, exclude_type_checking_imports=True, cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imported).prepare()  # raises CycleError, which names them


def test_one_place_decides_what_is_missing_for_a_test() -> None:
    skips = re.compile(r"pytest\.(skip|importorskip)\(|\bshutil\.which\(.*\) is None")
    found = [path.name for path in (ROOT / "tests").rglob("*.py") if skips.search(path.read_text())]
    assert found == ["components.py"]


def test_nobody_but_the_modes_asks_which_mode_it_is() -> None:
    asks = re.compile(r"exec_server_port is (not )?None|\bmode ==|\bmode != |\bmode in \(")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        if "modes" not in path.parts
        for line in path.read_text().splitlines()
        if asks.search(line)
    ]
    assert found == []

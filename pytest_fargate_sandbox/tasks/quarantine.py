"""Tasks that are not worth trying before somebody has looked at them, in a file that people edit.

tasks/x/task.toml  # oracle passed 2 of 3 tries
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_WHY = re.compile(r"(?:^|\s)#")
"""A folder may have that sign in its name."""
_HEAD = "# Flaky tasks, which are skipped. Whoever has mended one takes its line out.\n"


def read_quarantine(file: Path) -> dict[str, str]:
    """The tests' files with why they are there; none where there is no file."""
    if not file.is_file():
        return {}
    lines = (_WHY.split(line, maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines())
    return {name.strip(): "".join(why).strip() for name, *why in lines if name.strip()}


def add_to_quarantine(file: Path, flaky: Mapping[str, str]) -> None:
    known = read_quarantine(file)
    new = {name: why for name, why in flaky.items() if name not in known}
    if not new:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    head = "" if file.exists() else _HEAD
    with file.open("a", encoding="utf-8") as lines:
        lines.write(head + "".join(f"{name}  # {why}\n" for name, why in sorted(new.items())))


def flaky_in(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Of tasks whose solution, or nobody, got the reward some of the times, by the files of their tests."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for record in records:
        if record["agent"] in ("oracle", "nop") and record["verdict"] in ("pass", "fail"):
            file = record["test"].partition("::")[0]
            counts.setdefault((file, record["agent"]), []).append(record["verdict"] == "pass")
    return {
        file: f"{agent} got the reward {sum(passed)} of {len(passed)} times"
        for (file, agent), passed in counts.items()
        if 0 < sum(passed) < len(passed)
    }

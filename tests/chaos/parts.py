"""The processes that a sandbox on the embedded Fargate is made of, and what is left when all of them are gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from tests.chaos.faults import NothingToStrike
from tests.local.engine_process import alive
from tests.processes import children, descendants

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

_ENDS_WITHIN = 20.0


class Parts:
    """Of one engine. A task's are looked for when they are asked for; of which task, chance decides."""

    def __init__(self, engine: int, chance: random.Random) -> None:
        self.engine = engine
        self._chance = chance
        self._scratch = Path(_command(self.launcher())[-1])
        self._known: dict[int, str] = {}
        note = self._scratch / "control-group"
        self._groups = [Path(line) for line in note.read_text().splitlines()] if note.exists() else []

    def launcher(self) -> int:
        return self._one(pid for pid in children(self.engine) if any("launcher" in word for word in _command(pid)))

    def holder(self) -> int:
        return self._one(children(self.launcher()))

    def sidecar(self) -> int:
        return self._one(pid for pid in children(self.holder()) if not _is_server(pid))

    def server(self) -> int:
        return self._one(pid for pid in children(self.holder()) if _is_server(pid))

    def _one(self, pids: Iterable[int]) -> int:
        found = sorted(pids)
        if not found:
            raise NothingToStrike
        return self._chance.choice(found)

    def remember(self) -> None:
        """All that lives now: none of it may live when the engine is gone."""
        self._known.update((pid, _born(pid)) for pid in [self.engine, *descendants(self.engine)])

    def left_over(self) -> dict[str, int]:
        """What lives on, once the engine is gone and time has passed."""

        def look() -> dict[str, int]:
            pids = [pid for pid in alive(list(self._known)) if _born(pid) == self._known[pid]]
            mounts = [
                line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self._scratch) in line
            ]
            groups = [group for group in self._groups if group.exists()]
            directories = [self._scratch] if self._scratch.exists() else []
            lists = {"processes": pids, "mounts": mounts, "cgroups": groups, "directories": directories}
            return {name: len(found) for name, found in lists.items()}

        def probe() -> bool:
            if any(look().values()):
                raise NotYet(str(look()))
            return True

        try:
            wait_until(probe, deadline=_ENDS_WITHIN, what="the end of all")
        except WaitTimeout:
            pass
        return look()


def _is_server(pid: int) -> bool:
    return "exec(zlib" in " ".join(_command(pid))


def _command(pid: int) -> list[str]:
    return _text(Path(f"/proc/{pid}/cmdline")).strip("\0").split("\0")


def _born(pid: int) -> str:
    """When: a number that comes again is another process."""
    return "".join(_text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[19:20])


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""

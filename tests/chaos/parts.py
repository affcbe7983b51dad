"""The processes that a sandbox on the embedded Fargate is made of, and what is left when all of them are gone."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from pytest_fargate_sandbox.place.local_engine import LocalEngine
from tests.chaos.faults import NothingToStrike
from tests.local.engine_process import alive
from tests.processes import children, descendants

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

_ENDS_WITHIN = 20.0


class Parts:
    """Of the engine that serves in a directory, whichever that is. Of which task, chance decides."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self._directory = directory
        self._chance = chance
        self._known: dict[int, str] = {}
        self._scratches: set[Path] = set()
        self._groups: set[Path] = set()

    def engine(self) -> int:
        engine = LocalEngine.read(self._directory)
        if engine is None:
            raise NothingToStrike
        return engine.pid

    def launcher(self) -> int:
        return self._one(pid for pid in children(self.engine()) if any("launcher" in word for word in _command(pid)))

    def holder(self) -> int:
        return self._one(children(self.launcher()))

    def sidecar(self) -> int:
        return self._one(pid for pid in children(self.holder()) if not _is_server(pid))

    def server(self) -> int:
        return self._one(pid for pid in children(self.holder()) if _is_server(pid))

    def carry_on(self) -> None:
        """An engine that was stopped when its last user was killed, or behind the last look of that one."""
        with contextlib.suppress(NothingToStrike, ProcessLookupError):
            os.kill(self.engine(), signal.SIGCONT)

    def stop_task(self) -> None:
        """As somebody may who has the account."""
        engine = LocalEngine.read(self._directory)
        if engine:
            aws = engine.connect()
            arns = aws.call("ecs", "ListTasks", cluster="local", desiredStatus="RUNNING")["taskArns"]
            aws.call("ecs", "StopTask", cluster="local", task=self._chance.choice(arns))

    def _one(self, pids: Iterable[int]) -> int:
        found = sorted(pids)
        if not found:
            raise NothingToStrike
        return self._chance.choice(found)

    def remember(self) -> None:
        """All that there is now: none of it may be there when the engine is gone."""
        try:
            engine, launcher = self.engine(), self.launcher()
        except NothingToStrike:
            return
        self._known.update((pid, _born(pid)) for pid in [engine, *descendants(engine)])
        scratch = Path(_command(launcher)[-1])
        note = scratch / "control-group"
        if note.exists():
            self._scratches.add(scratch)
            self._groups.update(map(Path, note.read_text().splitlines()))

    def left_over(self) -> dict[str, int]:
        """What lives on, once the engine is gone and time has passed."""

        def look() -> dict[str, int]:
            pids = [pid for pid in alive(list(self._known)) if _born(pid) == self._known[pid]]
            table = _text(Path("/proc/self/mountinfo"))
            lists = {
                "processes": pids,
                "mounts": [scratch for scratch in self._scratches if str(scratch) in table],
                "cgroups": [group for group in self._groups if group.exists()],
                "directories": [scratch for scratch in self._scratches if scratch.exists()],
            }
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
    return _command(pid)[:4] == ["python3", "-I", "-S", "-B"]


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

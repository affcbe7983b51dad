"""A tenant tries all that he could reach of his neighbour, of whom he is told the most that could be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.server.protocol import PREFIX
from tests.sandbox.slots.hostile_rows import ISOLATIONS, NO, REACHED, YES

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

SOURCE = Path(__file__).with_name("inside") / "hostile_tenant.py"
_MARK = "a-secret-of-the-neighbour"
_HOLD = f"""
import ctypes, os, time
libc = ctypes.CDLL(None)
os.close(os.open("/dev/shm/{_MARK}", os.O_CREAT | os.O_WRONLY, 0o600))
print(libc.shmget(0x5EC, 100, 0o1600), os.getpid(), os.getuid(), flush=True)
time.sleep(100)
"""


def told_of(outside: Callable[[str], ExecResult], neighbour: Any, terminal: Terminal, port: int) -> dict[str, Any]:
    """What a tenant could know of his neighbour at the best. ``outside`` runs a command as the machine's root."""
    neighbour.write_file("secret", _MARK, mode=0o666)
    holder = neighbour.spawn(["python3", "-c", _HOLD, _MARK], env={"SECRET": _MARK})
    shm, _, uid = map(int, holder.read(timeout=20).split())
    tty = terminal.run("tty").stdout.split()[0]
    long = neighbour.exec("head -c 300000 /dev/zero", max_output_bytes=1000)
    assert long.stdout_spool
    work_dir = str(Path(long.stdout_spool).parent)
    spools = outside(f"find {work_dir}/ -user {uid}").stdout.split()
    assert long.stdout_spool in spools
    assert len(spools) > 1
    outside("cp /usr/bin/id /usr/bin/id-of-root && chmod 4755 /usr/bin/id-of-root").check()
    pids = [int(pid) for pid in outside(f"pgrep -u {uid}").stdout.split()]
    return {
        "home": neighbour.exec("pwd").stdout.strip(), "uid": uid, "pids": pids, "signalled": [*pids, 1], "tty": tty,
        "spools": spools, "mark": _MARK, "shm": shm, "shm_key": 0x5EC, "server_pid": 1, "port": port,
        "prefix": PREFIX, "work_dir": work_dir,
    }  # fmt: skip


def hold_to_rows(isolation: str, slot: Any, told: dict[str, Any], subtests: pytest.Subtests) -> None:
    slot.write_file("hostile.py", SOURCE.read_text())
    said = slot.exec("python3 hostile.py reach", stdin=json.dumps(told)).check().stdout
    outcomes = json.loads(said)
    assert outcomes.keys() == {row.probe for row in REACHED if row.probe}
    for row in REACHED:
        cell = row.cells[ISOLATIONS.index(isolation)]
        with subtests.test(row.what):
            if row.probe and cell == NO:
                assert outcomes[row.probe] == [], outcomes[row.probe]
            elif row.probe and cell == YES:
                assert outcomes[row.probe] != []
            assert not any("a probe that failed" in each for each in outcomes.get(row.probe, []))

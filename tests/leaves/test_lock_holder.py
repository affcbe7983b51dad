"""Who waits for what another process holds is told of one that was stopped, and does not wait for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves import file_lock, lock_holder
from pytest_fargate_sandbox.leaves.errors import StartTimeout
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all, one_of
from pytest_fargate_sandbox.leaves.process_identity import is_stopped
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.records.ledger import Ledger, alone_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAYS = {
    "state": "with SharedState(here).change(): stop()",
    "once": "once_for_all(here, 'image', stop)",
    "place": "with one_of(here, 'build', 1): stop()",
    "ledger": "with alone_with(here / 'it.jsonl'): stop()",
}
PROGRAM = """
import os, signal, sys
from pathlib import Path
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all, one_of
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.records.ledger import alone_with
here = Path(sys.argv[1])
def stop(): os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def held_by_one_who_was_stopped(how: str, here: Path) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", f"{PROGRAM}\n{WAYS[how]}", str(here)]) as process:
        wait_until(lambda: is_stopped(process.pid) or None, deadline=60, what="the stop")
        yield process.pid
        os.kill(process.pid, signal.SIGCONT)
    assert process.returncode == 0


def _change(here: Path) -> None:
    with SharedState(here).change() as document:
        document["is"] = "there"


def _build(here: Path) -> None:
    with one_of(here, "build", 1):
        pass


def _write(here: Path) -> None:
    ledger = Ledger("it")
    ledger.path = here / "it.jsonl"
    ledger.open_entry()


ACTS: dict[str, Callable[[Path], object]] = {
    "state": _change,
    "once": lambda here: once_for_all(here, "image", lambda: 1),
    "place": _build,
    "ledger": _write,
}


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this kernel does not say who holds a lock")
@pytest.mark.parametrize("how", WAYS)
def test_what_a_stopped_process_holds_is_waited_for_no_longer_than_it_may_go_on(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_holder, "STOPPED_SEC", 0.1)
    (tmp_path / "it.jsonl").touch()
    monkeypatch.setattr(file_lock, "_LOOK_SEC", 0.1)
    with held_by_one_who_was_stopped(how, tmp_path) as pid, pytest.raises((StartTimeout, OSError)) as met:
        ACTS[how](tmp_path)
    assert f"is held by process {pid}, which was stopped: let it go on (kill -CONT {pid})" in str(met.value)
    ACTS[how](tmp_path)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this kernel does not say who holds a lock")
def test_a_process_that_is_stopped_again_after_a_while_is_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_holder, "STOPPED_SEC", 0.1)
    with held_by_one_who_was_stopped("state", tmp_path):
        waiting = lock_holder.Waiting(tmp_path / "state.lock", "it", 600)
        assert waiting.problem() == ""
        time.sleep(0.2)
        assert "was stopped" in waiting.problem()
        monkeypatch.setattr(lock_holder, "_FORGOTTEN_SEC", 0.05)
        time.sleep(0.2)
        assert waiting.problem() == ""


def test_what_is_held_for_moments_is_not_waited_for_without_end(tmp_path: Path) -> None:
    late = SharedState(tmp_path, longest_sec=0.1).change()
    with SharedState(tmp_path).change(), pytest.raises(StartTimeout, match="held by another process for more than"):
        late.__enter__()


def test_a_ledger_is_written_to_while_others_write(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").touch()
    with alone_with(tmp_path / "it.jsonl"):
        pass
    _write(tmp_path)
    _write(tmp_path)
    assert len((tmp_path / "it.jsonl").read_text().split()) > 2


def test_threads_that_wait_for_the_same_process_side_by_side_are_in_nobodys_way(tmp_path: Path) -> None:
    """What one of them has noted of it another forgets."""
    path = tmp_path / "it.lock"
    holds = (
        "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, 2); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holds, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as threads:
                told = list(threads.map(lambda _: lock_holder.Waiting(path, "it", 600).problem(), range(800)))
        finally:
            sys.setswitchinterval(before)
        assert process.stdin is not None
        process.stdin.close()
    assert set(told) == {""}

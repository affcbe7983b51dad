"""One holder at a time, whichever thread or process it is in; who dies gives it back."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pytest_fargate_sandbox.leaves.file_lock import FileLock, Timeout
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.warm_python import Popen

_ADD = """
import sys
from pathlib import Path
from pytest_fargate_sandbox.leaves.file_lock import FileLock
lock, count = map(Path, sys.argv[1:])
for _ in range(100):
    with FileLock(lock):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_threads_and_processes_have_it_one_after_the_other(tmp_path: Path) -> None:
    lock, count = tmp_path / "lock", tmp_path / "count"
    count.write_text("0")

    def add() -> None:
        for _ in range(100):
            with FileLock(lock):
                count.write_text(str(int(count.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(2)]
    with Popen(["-c", _ADD, str(lock), str(count)]) as process:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert process.returncode == 0
    assert count.read_text() == "300"


def test_who_does_not_want_to_wait_is_told_and_can_have_it_later(tmp_path: Path) -> None:
    impatient = FileLock(tmp_path / "lock", timeout=0)
    with FileLock(tmp_path / "lock"), pytest.raises(Timeout, match="somebody has locked"):
        impatient.acquire()
    with impatient:
        pass


def test_whoever_waits_for_a_file_that_is_removed_locks_the_one_that_comes_after_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waiting = FileLock(path)
    with FileLock(path):
        thread = threading.Thread(target=waiting.acquire)
        thread.start()
        wait_until(lambda: _times_open(path) == 2 or None, deadline=5, what="somebody who waits")
        path.unlink()
    thread.join()
    with pytest.raises(Timeout):
        FileLock(path, timeout=0).acquire()
    waiting.release()


def _times_open(path: Path) -> int:
    return [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()].count(str(path))

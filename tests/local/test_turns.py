from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.ecs import turns

_TASKS = 3


def _pass_in_turn(patch: pytest.MonkeyPatch, count: int) -> tuple[list[int], float]:
    """Who came through, first to last, and how long the last waited."""
    through: list[int] = []
    wait = turns._wait_for_a_free_processor

    def noted() -> None:
        through.append(int(threading.current_thread().name))  # while it is this one's turn
        wait()

    patch.setattr(turns, "_wait_for_a_free_processor", noted)
    gate = threading.Event()
    turns._queue.append(gate)  # so that all have asked before the first one goes
    threads = [threading.Thread(target=turns.wait_for_turn, name=f"{number}") for number in range(count)]
    for number, thread in enumerate(threads):
        thread.start()
        wait_until(lambda: len(turns._queue) == number + 2 or None, deadline=60, what="its question")  # noqa: B023
    began = time.monotonic()
    turns._queue.popleft()
    turns._queue[0].set()
    for thread in threads:
        thread.join(60)
    return through, time.monotonic() - began


def test_tasks_come_up_in_the_order_in_which_they_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    through, _ = _pass_in_turn(monkeypatch, _TASKS)
    assert through == list(range(_TASKS))


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="only Linux says how busy its processors are")
def test_on_a_busy_machine_each_waits_for_those_before_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    spin = "import sys\nprint(flush=True)\nwhile True: pass"
    busy = [
        subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        for process in busy:
            assert process.stdout
            assert process.stdout.readline()
        through, seconds = _pass_in_turn(monkeypatch, _TASKS)
    finally:
        for process in busy:
            process.kill()
            process.communicate()
    assert through == list(range(_TASKS))
    assert 0.1 * _TASKS < seconds < 5.0, "the processors are busy all the time, and each task lets them work a while"

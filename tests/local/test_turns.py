from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_fargate_sandbox.local.ecs.turns import wait_for_turn

_TASKS = 3


def _pass_in_turn(count: int) -> tuple[list[int], float]:
    """Who came through, first to last, and how long the last waited."""
    through: list[int] = []

    def task(number: int) -> None:
        wait_for_turn()
        through.append(number)

    threads = [threading.Thread(target=task, args=(number,)) for number in range(count)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
        time.sleep(0.002)  # they ask one after another
    for thread in threads:
        thread.join()
    return through, time.monotonic() - began


def test_tasks_come_up_in_the_order_in_which_they_were_asked_for() -> None:
    through, _ = _pass_in_turn(_TASKS)
    assert through == list(range(_TASKS))


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="only Linux says how busy its processors are")
def test_on_a_busy_machine_each_waits_for_those_before_but_not_for_ever() -> None:
    spin = "import sys\nprint(flush=True)\nwhile True: pass"
    busy = [
        subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        for process in busy:
            assert process.stdout
            assert process.stdout.readline()
        through, seconds = _pass_in_turn(_TASKS)
    finally:
        for process in busy:
            process.kill()
            process.communicate()
    assert through == list(range(_TASKS))
    assert 0.1 * _TASKS < seconds < 5.0, "the processors are busy all the time, and each task lets them work a while"

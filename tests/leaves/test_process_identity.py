"""Whether a process is the one that it was, and what is not known of one that is out of sight."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pytest_fargate_sandbox.leaves.process_identity import kill, process_began, still_runs, this_process

TELL = "import json; from pytest_fargate_sandbox.leaves.process_identity import this_process; print(json.dumps(this_process()), flush=True); input()"  # noqa: E501


def test_a_dead_process_is_told_from_a_living_one() -> None:
    child = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    facts = json.loads(child.stdout.readline())
    assert facts["pid"] == child.pid
    assert facts["pid_began"] == process_began(child.pid)
    assert still_runs(facts)
    child.communicate(b"\n")
    assert not still_runs(facts)


def test_those_who_kill_one_at_once_have_killed_it_all() -> None:
    """Or found it gone: between the look and the signal somebody else may have killed it, and its parent have asked."""
    gate = Barrier(4)
    with ThreadPoolExecutor(3) as killers:
        for _ in range(60):
            child = subprocess.Popen(["sleep", "60"])
            facts = {"pid": child.pid, "pid_began": process_began(child.pid)}

            def end(facts: dict[str, object] = facts) -> bool:
                gate.wait(20)
                return kill(facts)

            ends = [killers.submit(end) for _ in range(3)]
            gate.wait(20)
            child.wait(20)
            assert [each.result(20) for each in ends].count(True) >= 1


def test_a_number_that_somebody_else_has_got_is_not_the_process() -> None:
    mine = this_process()
    assert still_runs(mine)
    assert not still_runs({**mine, "pid_began": mine["pid_began"] + "0"})
    assert not still_runs({"pid": 1, "pid_began": "another boot/1"})


@pytest.mark.needs("user namespaces")
def test_a_process_whose_numbers_we_cannot_see_is_not_known_to_have_ended() -> None:
    """A run in a container that shares our cache directory: its number 1 is not ours."""
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", TELL]
    child = subprocess.Popen(unshare, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    facts = json.loads(child.stdout.readline())
    assert facts["pid"] == 1
    assert still_runs(facts)
    assert not still_runs({**facts, "pid_began": "another boot/1"})
    child.communicate(b"\n")

"""Which processes are whose, where commands are many."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.commands.process_tree import Forest, ProcessTree

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_PROCESS = 1 << 23
"""More than numbers of processes go: https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html (pid_max)"""


@pytest.fixture
def child() -> Iterator[int]:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield child.pid
    child.kill()
    child.wait()


def ended(leader: int) -> ProcessTree:
    tree = ProcessTree(leader, 900)
    tree.leader_is_gone = True
    return tree


def test_of_many_commands_those_are_remembered_that_left_something(child: int) -> None:
    alive = ProcessTree(child, 901)
    trees = [*(ended(NO_PROCESS + number) for number in range(2000)), alive]
    assert Forest(trees).members() == [child]
    assert Forest(trees).living() == [alive]


def test_a_process_that_has_the_number_of_a_command_that_ended_is_a_stranger(child: int) -> None:
    assert Forest([ended(child)]).members() == []
    assert ended(child).members() == []
    assert Forest([ended(child)]).living() == []


def test_to_look_for_those_of_thousands_takes_no_longer_than_for_those_of_one(child: int) -> None:
    def seconds(count: int) -> float:
        forest = Forest([ProcessTree(child, 901), *(ended(NO_PROCESS + number) for number in range(count))])
        took = []
        for _ in range(3):
            began = time.thread_time()
            forest.members()
            took.append(time.thread_time() - began)
        return min(took)

    assert seconds(3000) < 5 * seconds(1)


def test_those_who_look_at_once_share_a_look_and_see_what_was_there_when_they_asked(
    child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = 32
    gate, seen, looks = threading.Barrier(at_once), [], []

    def slowly(directory: str) -> list[str]:
        """As on a machine with many processes."""
        looks.append(directory)
        time.sleep(0.2)
        return names(directory)

    def look() -> None:
        gate.wait()
        seen.append(ProcessTree(child, 901).members())

    def all_look(threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    names = os.listdir
    monkeypatch.setattr(os, "listdir", slowly)
    all_look([threading.Thread(target=look) for _ in range(at_once)])
    assert len(looks) < at_once / 4
    assert seen == [[child]] * at_once

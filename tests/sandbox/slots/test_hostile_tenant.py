"""A tenant who wants his neighbours' secrets, their time and their place: the rows of docs/slots.md."""

from __future__ import annotations

import ast
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from tests.sandbox.slots.hostile_page import PAGE, with_tables
from tests.sandbox.slots.hostile_reach import SOURCE, hold_to_rows, told_of
from tests.sandbox.slots.hostile_rows import HELD_UP, LEFT, REACHED
from tests.sandbox.slots.what_is_left import what_is_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

_ROOT = Path(__file__).parents[3]
_PORT = 19542


@contextmanager
def doing(slot: Slot, deed: str, *arguments: object) -> Iterator[None]:
    """Until it is left, which resets the slot."""
    slot.write_file("hostile.py", SOURCE.read_text())
    process = slot.spawn(["python3", "hostile.py", deed, *map(str, arguments)])
    assert process.read(timeout=20) == b"ready\n", process.read_stderr(timeout=1)
    try:
        yield
    finally:
        slot.reset()


@pytest.mark.needs("pgrep")
def test_what_a_tenant_reaches_of_his_neighbour(
    machine: EcsFargateSandbox, slot: Slot, neighbour: Slot, subtests: pytest.Subtests
) -> None:
    told = told_of(machine.exec, neighbour, neighbour.open_terminal(), _PORT)
    hold_to_rows("user", slot, told, subtests)


@pytest.mark.parametrize(("deed", "command"), [("stops_what_begins", "true"), ("holds_a_program", ["./program"])])
def test_who_holds_up_his_own_commands_holds_up_no_others(
    slot: Slot, neighbour: Slot, deed: str, command: str | list[str]
) -> None:
    with doing(slot, deed):
        held_up = threading.Thread(target=_try_some, args=(slot, command), daemon=True)
        held_up.start()
        for _ in range(3):
            began = time.monotonic()
            neighbour.exec("true", check=True)
            assert time.monotonic() - began < 8
            time.sleep(0.05)
    held_up.join(20)
    assert not held_up.is_alive()


def _try_some(slot: Slot, command: str | list[str]) -> None:
    try:
        for _ in range(4):
            slot.exec(command)
    except SandboxError:
        pass  # it is reset by now


def test_slots_that_come_later_have_their_share_of_processes(machine: EcsFargateSandbox, slot: Slot) -> None:
    count = len(machine.open_slots(0).states)
    bound = machine.exec("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null").stdout.split()[0]
    most = (int(bound) if bound != "max" else 4096) // (count - 1)
    assert int(slot.exec("ulimit -u 2>/dev/null || ulimit -p").stdout) < most


def test_who_crowds_the_servers_port_keeps_nobody_out(slot: Slot, neighbour: Slot) -> None:
    with doing(slot, "crowds_the_port", _PORT):
        for _ in range(5):
            neighbour.exec("true", check=True)


def _uid(slot: Slot) -> int:
    return int(slot.exec("id -u").stdout)


@pytest.mark.parametrize("deed", ["fills_open_directories", "moves_what_is_removed", "gives_objects_away"])
def test_a_neighbour_does_not_hinder_a_reset(
    machine: EcsFargateSandbox, slot: Slot, neighbour: Slot, deed: str
) -> None:
    place = "/tmp/open"
    owner = neighbour if deed == "moves_what_is_removed" else slot
    owner.exec(f"mkdir -m 777 {place}", check=True)
    slot.exec(f"mkdir -p {place}/in/it && touch {place}/in/file {place}/file", check=True)
    with doing(neighbour, deed, _uid(slot) if deed == "gives_objects_away" else place):
        time.sleep(0.1)
        slot.reset()
        if deed != "gives_objects_away":
            assert what_is_left(machine, slot) == ""
    assert what_is_left(machine, neighbour) == ""
    assert machine.exec("ls -A /dev/shm /tmp").stdout.count("open") == 0


def test_what_is_planted_by_doors_that_opened_later_is_found(
    machine: EcsFargateSandbox, slot: Slot, neighbour: Slot
) -> None:
    """What was found clean is not looked at again, until it has changed."""
    machine.exec("mkdir -m 777 /tmp/opened-later", check=True)
    neighbour.exec("mkdir -p -m 777 /tmp/neighbours/deep && chmod 777 /tmp/neighbours", check=True)
    for _ in range(2):
        time.sleep(0.1)
        slot.reset()
    slot.write_file("hostile.py", SOURCE.read_text())
    slot.exec("python3 hostile.py plants_by_later_doors /tmp/opened-later /tmp/neighbours/deep", check=True)
    assert what_is_left(machine, slot).count("planted") >= 2
    slot.reset()
    assert what_is_left(machine, slot) == ""
    machine.exec("rmdir /tmp/opened-later", check=True)


def test_nothing_is_held_after_a_reset(machine: EcsFargateSandbox, slot: Slot) -> None:
    slot.write_file("hostile.py", SOURCE.read_text())
    slot.exec("python3 hostile.py holds_everything; until [ -s held ]; do sleep 0.02; done", check=True)
    left = what_is_left(machine, slot)
    assert "held-by" in left
    assert "python3" in left
    slot.reset()
    assert what_is_left(machine, slot) == ""


def test_long_output_goes_with_its_slot(machine: EcsFargateSandbox, slot: Slot) -> None:
    path = slot.exec("head -c 300000 /dev/zero", max_output_bytes=1000).stdout_spool
    assert path
    assert machine.exec(["test", "-e", path]).ok
    slot.reset()
    assert not machine.exec(["test", "-e", path]).ok


def test_who_demotes_the_server_dies_none_the_less(machine: EcsFargateSandbox, slot: Slot) -> None:
    for _ in range(3):
        with doing(slot, "demotes_the_server"):
            pass
    assert what_is_left(machine, slot) == ""
    look = "import os; print({os.sched_getscheduler(int(each)) for each in os.listdir('/proc/1/task')})"
    assert ast.literal_eval(machine.exec(["python3", "-c", look], check=True).stdout) == {0}


def test_the_page_has_these_rows() -> None:
    """``python -m tests.sandbox.slots.hostile_page`` writes them."""
    text = PAGE.read_text()
    assert with_tables(text) == text


@pytest.mark.parametrize("test", sorted({row.test for row in (*REACHED, *HELD_UP, *LEFT) if row.test}))
def test_each_row_has_its_test(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"def {name}(" in (_ROOT / path).read_text()

"""Disk, inodes and memory are shared: who takes too much of them loses his slot, and not his neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import need
from tests.sandbox.slots.hostile_reach import SOURCE

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateSandbox


@pytest.mark.parametrize(
    ("deed", "what"),
    [("fills_a_disk", "of 64 MiB of the disk at /dev/shm"), ("fills_memory", r"of \d+ MiB of memory")],
)
def test_who_takes_too_much_of_what_is_shared_loses_his_slot(machine: EcsFargateSandbox, deed: str, what: str) -> None:
    if deed == "fills_memory":
        need("memory limits")
    with machine.lease_slot() as slot, machine.lease_slot() as neighbour:
        neighbour.exec("head -c 1000000 /dev/zero >/dev/shm/mine", check=True)
        slot.write_file("hostile.py", SOURCE.read_text())
        with pytest.raises(
            SandboxError, match=rf"the slot was taken from its lease: it took \d+ {what}, which ran short for all"
        ):
            slot.exec(["python3", "hostile.py", deed, "/dev/shm"], 60)
        with pytest.raises(SandboxError, match="ran short for all"):
            slot.read_file("hostile.py")
        more = "head -c 1000000 /dev/zero >/dev/shm/more"
        wait_until(lambda: neighbour.exec(more).ok or None, deadline=20, what="room")
        assert neighbour.exec("wc -c </dev/shm/mine").stdout == "1000000\n"
    with machine.lease_slot(slot.number) as again:
        assert again.exec("ls -A").stdout == ""

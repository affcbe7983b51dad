"""All that a slot's user has on the machine, as its root sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

_LOOK = """
find "$1" "$1/../tmp" -mindepth 1
find /tmp /var/tmp /dev/shm /run /srv -mindepth 1 -user "$2"
awk -v uid="$2" '$5 == uid || $8 == uid || $10 == uid' /proc/sysvipc/*
grep "held-by-$2" /proc/net/unix
for each in /proc/[0-9]*/status; do grep -q "^Uid:.*\\b$2\\b" $each && grep '^Name' $each; done 2>/dev/null
true
"""


def what_is_left(machine: EcsFargateSandbox, slot: Slot) -> str:
    uid = machine.exec(["id", "-u", slot.user], check=True).stdout.strip()
    return machine.exec(["/bin/sh", "-c", _LOOK, "sh", slot.home, uid], check=True).stdout

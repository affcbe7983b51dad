"""What the kernel keeps for a user without any process: key rings, where no filter forbids them, and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot, ResetSlot

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

_KEYS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    answer = libc.syscall(ctypes.c_long(number), *wide)
    return -ctypes.get_errno() if answer < 0 else answer
add_key, keyctl = (248, 250) if os.uname().machine == "x86_64" else (217, 219)
if sys.argv[1] == "keep":
    print([call(add_key, b"user", b"theirs", b"secret", 6, ring) > 0 for ring in (-3, -4, -5)])
else:
    print([call(keyctl, 11, ring, None, 0) for ring in (-3, -4, -5)])
"""


@pytest.mark.root
def test_key_rings_are_emptied(in_podman: ExecClient) -> None:
    lease = "lease-of-a-hoarder"
    slot = in_podman.in_slot(lease, in_podman.ask(LeaseSlot(lease=lease), LeasedSlot).home)
    as_new = slot.exec(["python3", "-c", _KEYS, "look"]).stdout
    assert slot.exec(["python3", "-c", _KEYS, "keep"]).check().stdout == "[True, True, True]\n"
    in_podman.ask(ResetSlot(lease=lease, keep=True), Nothing)
    assert slot.exec(["python3", "-c", _KEYS, "look"]).stdout == as_new
    in_podman.ask(ResetSlot(lease=lease), Nothing)


@pytest.mark.root
def test_message_queues_are_removed(in_podman: ExecClient, tenants: tuple[ExecClient, ExecClient]) -> None:
    slot, _ = tenants
    uid = slot.exec("touch /dev/mqueue/left && id -u").check().stdout.strip()
    assert in_podman.exec(f"find /dev/mqueue -user {uid}").stdout == "/dev/mqueue/left\n"
    other = "lease-that-takes-it"
    number = int(slot.exec("pwd").stdout.split("/")[-2])
    in_podman.ask(LeaseSlot(lease=other, number=number), LeasedSlot)
    assert in_podman.exec(f"find /dev/mqueue -user {uid}").stdout == ""
    in_podman.ask(ResetSlot(lease=other), Nothing)

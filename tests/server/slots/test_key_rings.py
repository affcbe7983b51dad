"""Key rings, where no filter keeps a container from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot, OpenSlots, ResetSlot, SlotStates
from tests.server.slots.conftest import server_in_podman

if TYPE_CHECKING:
    from pathlib import Path

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
def test_key_rings_are_emptied(tmp_path: Path) -> None:
    with server_in_podman(tmp_path, "--security-opt", "seccomp=unconfined") as client:
        client.ask(OpenSlots(count=2, isolation="user"), SlotStates)
        one, other = (
            client.in_slot(lease, client.ask(LeaseSlot(lease=lease), LeasedSlot).home)
            for lease in ("lease-of-one", "lease-of-another")
        )
        kept = one.exec(["python3", "-c", _KEYS, "keep"]).check().stdout
        assert kept == "[True, True, True]\n"
        as_new = other.exec(["python3", "-c", _KEYS, "look"]).stdout
        client.ask(ResetSlot(lease="lease-of-one", keep=True), Nothing)
        assert one.exec(["python3", "-c", _KEYS, "look"]).stdout == as_new == "[0, 0, 4]\n"

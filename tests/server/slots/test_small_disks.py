"""A disk that is nearly full, of files without a name too, and one without inodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.sandbox.slots.hostile_reach import SOURCE

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient


@pytest.mark.root
@pytest.mark.parametrize(
    ("deed", "what"),
    [
        ("fills_inodes", r"\d+ of 1000 inodes of the disk at /small"),
        ("fills_a_disk_by_a_map", r"\d+ of 16 MiB of the disk at /small"),
        ("fills_a_disk_unseen", r"\d+ of 16 MiB of the disk at /small"),
    ],
)
def test_who_fills_a_disk_by_whatever_means_loses_his_slot(
    tenants: tuple[ExecClient, ExecClient], deed: str, what: str
) -> None:
    offender, neighbour = tenants
    neighbour.exec("head -c 2000000 /dev/zero >/small/mine").check()
    with pytest.raises(
        SandboxError, match=f"the slot was taken from its lease: it took {what}, which ran short for all"
    ):
        offender.exec(["python3", "-c", SOURCE.read_text(), deed, "/small"], timeout=60)
    wait_until(lambda: neighbour.exec("ls /small").stdout == "mine\n" or None, deadline=20, what="room")
    neighbour.exec("echo more >>/small/mine").check()

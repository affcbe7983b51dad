"""Slots where there are no other users: directories, whose commands end with their lease."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot, OpenSlots, ResetSlot, SlotStates
from tests.components import need
from tests.exec_server_process import ExecServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient


@pytest.fixture(scope="module")
def client() -> Iterator[ExecClient]:
    need("another user", "pgrep")
    directory = Path(tempfile.mkdtemp())  # not below pytest's own, which only its owner may enter
    directory.chmod(0o777)
    server = ExecServerProcess(directory, "/usr/bin/python3", uid=20042)
    server.client.teach("slots.slot_verbs")
    server.client.teach("slots.slot_verbs")
    yield server.client
    server.close()
    shutil.rmtree(directory)


def test_a_slot_is_a_directory_that_is_emptied(client: ExecClient) -> None:
    states = client.ask(OpenSlots(count=2), SlotStates)
    assert (states.isolation, states.states) == ("none", ["free", "free"])
    assert states.why == "the container runs as uid 20042, and it takes root"
    leased = client.ask(LeaseSlot(lease="lease-of-one"), LeasedSlot)
    slot = client.in_slot("lease-of-one", leased.home)
    slot.exec("mkdir -p a/b && echo x >a/b/c && chmod 000 a/b; (setsid sleep 1234 &)").check()
    client.ask(ResetSlot(lease="lease-of-one", keep=True), Nothing)
    assert slot.exec('pwd; ls -A; echo "$HOME"').stdout.split() == [leased.home, leased.home]
    assert client.exec(["pgrep", "-u", "20042", "-f", "sleep 1234"]).stdout == ""


def test_what_the_first_of_many_commands_left_running_ends_with_the_slot(client: ExecClient) -> None:
    client.ask(OpenSlots(count=3), SlotStates)
    homes = {lease: client.ask(LeaseSlot(lease=lease), LeasedSlot).home for lease in ("lease-of-many", "lease-of-few")}
    many, few = (client.in_slot(lease, home) for lease, home in homes.items())
    many.exec("(setsid sleep 2345 &)").check()
    few.exec("(setsid sleep 3456 &)").check()
    for _ in range(120):
        many.exec(["true"]).check()
    client.ask(ResetSlot(lease="lease-of-many"), Nothing)
    assert client.exec(["pgrep", "-u", "20042", "-f", "sleep 2345"]).stdout == ""
    assert client.exec(["pgrep", "-u", "20042", "-f", "sleep 3456"]).stdout != ""
    client.ask(ResetSlot(lease="lease-of-few"), Nothing)


def test_a_better_isolation_is_refused_with_its_reason(client: ExecClient) -> None:
    with pytest.raises(SandboxError, match=r"isolation 'none', not 'user': the container runs as uid 20042"):
        client.ask(OpenSlots(count=1, isolation="user"), SlotStates)


def test_a_lease_that_is_asked_for_again_is_the_same(client: ExecClient) -> None:
    client.ask(OpenSlots(count=2), SlotStates)
    first, again = (client.ask(LeaseSlot(lease="asked-twice"), LeasedSlot).number for _ in range(2))
    assert first == again
    for _ in range(2):
        client.ask(ResetSlot(lease="asked-twice"), Nothing)
    with pytest.raises(SandboxError, match="the slot was given back"):
        client.ask(LeaseSlot(lease="asked-twice"), LeasedSlot)


def test_without_slots_no_lease_is_known(client: ExecClient) -> None:
    with pytest.raises(SandboxError, match="given back, or taken"):
        client.in_slot("no-such-lease", "/").exec("true")


def test_who_wants_any_slot_has_another_where_one_cannot_be_made_ready(tmp_path: Path) -> None:
    server = ExecServerProcess(tmp_path)
    try:
        server.client.teach("slots.slot_verbs")
        server.client.ask(OpenSlots(count=3, isolation="none"), SlotStates)
        home = server.client.ask(LeaseSlot(lease="lease-of-first"), LeasedSlot).home
        (Path(home).parents[1] / "1").write_text("no directory")
        assert server.client.ask(LeaseSlot(lease="lease-of-any"), LeasedSlot).number == 2
        states = server.client.ask(OpenSlots(count=0), SlotStates)
        assert states.states == ["leased", "retired", "leased"]
        with pytest.raises(SandboxError, match="slot 1 is retired, it could not be cleaned"):
            server.client.ask(LeaseSlot(lease="lease-of-that", number=1), LeasedSlot)
        with pytest.raises(SandboxError, match="no slot of this machine is free"):
            server.client.ask(LeaseSlot(lease="lease-of-none"), LeasedSlot)
    finally:
        server.close()

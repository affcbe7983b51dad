"""Slots with namespaces of their own, in plain podman, whose profile lets users have some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals
from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot, OpenSlots, ResetSlot, SlotStates
from tests.exec_server_process import LoopbackMachine, hold_a_terminal
from tests.sandbox.slots.hostile_reach import SOURCE, hold_to_rows, told_of
from tests.server.slots.conftest import server_in_podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from tests.exec_server_process import ExecServerProcess

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    with server_in_podman(tmp_path_factory.mktemp("server")) as process:
        states = process.client.ask(OpenSlots(count=3), SlotStates)
        assert (states.isolation, states.why) == ("namespace", "")
        yield process


@pytest.fixture
def server(process: ExecServerProcess) -> ExecClient:
    return process.client


@pytest.fixture
def leases(server: ExecClient, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    leases = [f"lease-{number}-of-{abs(hash(request.node.name))}" for number in range(2)]
    yield leases
    for lease in leases:
        server.ask(ResetSlot(lease=lease), Nothing)


@pytest.fixture
def slots(server: ExecClient, leases: list[str]) -> list[ExecClient]:
    return [server.in_slot(lease, server.ask(LeaseSlot(lease=lease), LeasedSlot).home) for lease in leases]


def test_each_has_its_own_and_commands_share_them(server: ExecClient, slots: list[ExecClient]) -> None:
    look = "for each in user pid ipc uts mnt net; do readlink /proc/self/ns/$each; done"
    one, again, other, outside = (each.exec(look).check().stdout.split() for each in (slots[0], *slots, server))
    assert one == again
    assert not set(one[:5]) & set(other[:5])
    assert not set(one[:5]) & set(outside[:5])
    assert one[5] == other[5] == outside[5]
    assert slots[0].exec(
        "id -u; grep CapEff /proc/self/status; hostname mine 2>/dev/null || echo no rights"
    ).stdout.split()[1:] == ["CapEff:", "0" * 16, "no", "rights"]


def test_what_it_leaves_running_lives_on_until_the_reset(
    server: ExecClient, slots: list[ExecClient], leases: list[str]
) -> None:
    uid = slots[0].exec("sleep 1234 & echo $! >pid; sleep 1234 & id -u").check().stdout.strip()
    assert slots[0].exec("kill $(cat pid)").ok
    assert server.exec(["pgrep", "-c", "-u", uid, "-f", "sleep 1234"]).stdout == "1\n"
    server.ask(ResetSlot(lease=leases[0], keep=True), Nothing)
    assert server.exec(["pgrep", "-u", uid, "-f", "sleep 1234"]).stdout == ""
    assert slots[0].exec("ls -A; echo as new").stdout == "as new\n"


def test_only_its_workspace_can_be_written(slots: list[ExecClient]) -> None:
    written = slots[0].exec(
        'for each in "$HOME" "$TMPDIR" /dev/shm /tmp /var/tmp /usr /etc; do '
        'if touch "$each/x" 2>/dev/null; then echo "$each"; fi; done; echo >/dev/null && echo null'
    )
    home = slots[0].exec("pwd").stdout.strip()
    assert written.stdout.split() == [home, home.replace("/home", "/tmp"), "/dev/shm", "null"]
    assert slots[1].exec("ls /dev/shm").stdout == ""
    assert slots[0].exec("df -m --output=size /dev/shm").stdout.split()[1] == "64"
    assert slots[0].read_file(f"{home}/x") == b""


def test_what_runs_in_it_is_a_command_like_any(slots: list[ExecClient]) -> None:
    assert slots[0].exec("exit 7").return_code == 7
    assert slots[0].exec("kill -9 $$").return_code == 137
    assert slots[0].exec(["no-such-program"]).return_code == 127
    assert slots[0].exec("setsid sleep 60 & sleep 60", timeout=0.5).timed_out
    assert slots[0].exec("cd /etc && pwd", cwd="/usr").stdout == "/etc\n"
    hold_a_terminal(slots[0])


def test_tools_want_no_network_where_there_is_none(server: ExecClient) -> None:
    machine = LoopbackMachine(server)
    with machine.lease_slot(network="none") as without, machine.lease_slot() as with_it:
        for tool in ("bash", "bash_stateful"):
            done = without.tool(tool, {"command": "ls /sys/class/net | wc -w; true", "allow_network": False})
            assert (done.success, done.metadata["network_isolated"]) == (True, True), done
            assert with_it.tool(tool, {"command": "true"}).metadata["network_isolated"] is False
            assert (
                "Network isolation requested" in with_it.tool(tool, {"command": "true", "allow_network": False}).error
            )


def test_one_without_network_has_none(server: ExecClient) -> None:
    lease = "lease-without-network"
    slot = server.in_slot(lease, server.ask(LeaseSlot(lease=lease, network="none"), LeasedSlot).home)
    look = "grep -c : /proc/net/dev; python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 1))'"
    assert slot.exec(look).stdout == "1\n"
    server.ask(ResetSlot(lease=lease, keep=True), Nothing)
    assert slot.exec("grep -c : /proc/net/dev").stdout == "1\n"
    server.ask(ResetSlot(lease=lease), Nothing)


def test_a_neighbours_objects_are_not_there(slots: list[ExecClient]) -> None:
    make = "python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget(0x77, 100, 0o1666))'"
    assert int(slots[0].exec(make).stdout) >= 0
    assert slots[1].exec("wc -l </proc/sysvipc/shm").stdout.strip() in ("1", "2")
    assert slots[1].exec("python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget(0x77, 100, 0))'").stdout == "-1\n"


def test_who_ends_what_holds_his_namespaces_is_told_so(
    server: ExecClient, slots: list[ExecClient], leases: list[str]
) -> None:
    slots[0].exec("kill -9 -1")
    wait_until(
        lambda: server.exec(["pgrep", "-f", "bwrap"]).stdout.count("\n") < 4 or None, deadline=20, what="their end"
    )
    with pytest.raises(SandboxError, match="the namespaces of this slot have ended with what held them: reset it"):
        slots[0].exec("true")
    server.ask(ResetSlot(lease=leases[0], keep=True), Nothing)
    assert slots[0].exec("echo as new").stdout == "as new\n"


def test_those_that_nobody_waited_for_leave_nothing(
    server: ExecClient, slots: list[ExecClient], leases: list[str]
) -> None:
    def holders() -> int:
        return server.exec(["pgrep", "-f", "bwrap"]).stdout.count("\n")

    def open_files() -> int:
        return int(server.exec("ls /proc/1/fd | wc -l").stdout)

    slots[0].exec("true")
    before, files = holders(), open_files()
    for _ in range(10):
        server.ask(ResetSlot(lease=leases[0], keep=True), Nothing)
    assert slots[0].exec("echo as new").stdout == "as new\n"
    assert holders() == before
    assert open_files() < files + 10


def test_what_a_tenant_reaches_of_his_neighbour(
    process: ExecServerProcess, slots: list[ExecClient], subtests: pytest.Subtests
) -> None:
    process.client.exec("i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done")  # his own numbers are smaller
    terminal = OpenTerminals().open(slots[1], Unguarded(), "main", 80, 24, None, env=None, user=None, cwd="/")
    told = told_of(process.client.exec, slots[1], terminal, process.port)
    told["signalled"] = told["pids"] = [pid for pid in told["pids"] if pid > 100]
    assert told["pids"]
    hold_to_rows("namespace", slots[0], told, subtests)
    terminal.close()


@pytest.mark.parametrize("deed", ["stops_what_begins", "holds_everything", "demotes_the_server"])
def test_whatever_he_does_in_there_ends_with_his_lease(
    server: ExecClient, slots: list[ExecClient], leases: list[str], deed: str
) -> None:
    slots[0].write_file("hostile.py", SOURCE.read_text())
    uid = slots[0].exec("id -u").stdout.strip()
    slots[0].spawn(["python3", "hostile.py", deed])
    wait_until(lambda: server.exec(["pgrep", "-u", uid, "python3"]).ok or None, deadline=20, what="the deed")
    for _ in range(3):
        slots[1].exec("true").check()
    server.ask(ResetSlot(lease=leases[0], keep=True), Nothing)
    assert server.exec(["pgrep", "-u", uid, "python3"]).stdout == ""
    assert slots[0].exec("ls -A; echo as new").stdout == "as new\n"

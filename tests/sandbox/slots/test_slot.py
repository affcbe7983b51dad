"""A slot: a workspace of its own in a task that others have too, clean whoever had it before."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import ConfigError, RemotePermissionError, SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

DAEMON = "setsid sh -c 'trap \"\" TERM HUP; (setsid sleep 1234 &)' &"
CROWD = """
import os, resource
resource.setrlimit(resource.RLIMIT_NPROC, (60, 60))
while 1:
    try: os.fork()
    except OSError: pass
"""
DIG = 'import os\nfor _ in range(2000): os.mkdir("d"), os.chdir("d")'
LEFT_BEHIND = {
    "files": "mkdir -p a/b && echo x >a/b/c && echo y >.hidden && mkfifo pipe",
    "a directory that is closed to its owner": "mkdir -p shut/in && echo x >shut/in/file && chmod 000 shut/in shut",
    "directories deeper than a path is long": f"python3 -c '{DIG}'",
    "names like those that cleaning uses": "mkdir -p .lifted-1/x .lifted-2/y/z a/.lifted-1/b && echo x >.lifted-3",
    "a link to the machine": "ln -s /etc etc && ln -s / tmp/root && ln /etc/hostname own 2>/dev/null || true",
    "a setuid program": "cp /bin/true ./true && chmod 6755 true",
    "a daemon that ignores TERM": DAEMON,
    "files in places that all share": "echo x >/tmp/left; mkdir -m 777 /var/tmp/left; echo x >/dev/shm/left",
    "System V objects": "python3 -c 'import ctypes; libc = ctypes.CDLL(None); "
    "print(libc.shmget(0x51, 100, 0o1600), libc.semget(0x51, 3, 0o1600), libc.msgget(0x51, 0o1600))'",
    "a directory that was opened to all": "chmod 777 . && mkdir -m 777 open",
}


def what_is_there(slot: Slot) -> str:
    """All that this user has on the machine."""
    return slot.exec(
        "find . $TMPDIR -mindepth 1; find /tmp /var/tmp /dev/shm -mindepth 1 -user $(id -u);"
        "awk -v uid=$(id -u) '$5 == uid || $8 == uid || $10 == uid' /proc/sysvipc/*;"
        "for p in /proc/[0-9]*; do [ -O $p ] && [ $p != /proc/$$ ] && tr '\\0' ' ' <$p/cmdline; done 2>/dev/null; true"
    ).stdout


def test_its_workspace_is_its_own(slot: Slot) -> None:
    said = slot.exec('pwd; echo "$HOME"; id -un; touch "$TMPDIR/x" && stat -c %U "$TMPDIR/x"').stdout.split()
    assert said == [slot.home, slot.home, slot.user, slot.user]
    assert slot.isolation == "user"


def test_relative_paths_are_relative_to_it(slot: Slot, tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_text("deep")
    slot.upload(tmp_path / "tree", "tree")
    slot.write_file("notes", "hello")
    assert slot.exec("cat notes tree/deep/file; echo; stat -c %U notes tree/deep/file").stdout.split() == [
        "hellodeep", slot.user, slot.user,
    ]  # fmt: skip
    assert slot.exec("cat file", cwd="tree/deep").stdout == "deep"
    assert slot.read_file("tree/deep/file") == b"deep"
    assert slot.list_files(".") == ["notes", "tree"]
    slot.download("tree", tmp_path / "back")
    assert (tmp_path / "back" / "deep" / "file").read_text() == "deep"


def test_it_has_terminals(slot: Slot) -> None:
    terminal = slot.open_terminal()
    assert terminal.run("cd /tmp && pwd && whoami").stdout.split() == ["/tmp", slot.user]
    assert slot.create_session("other").send_command is not None
    with pytest.raises(SandboxError, match="in a slot all commands run as the slot's own user, not as root"):
        slot.create_session("root", as_configured_user=False)


@pytest.mark.parametrize("how", LEFT_BEHIND)
def test_nothing_of_its_tenant_is_left(slot: Slot, how: str) -> None:
    slot.exec(LEFT_BEHIND[how], check=True)
    assert what_is_there(slot)
    slot.reset()
    assert what_is_there(slot) == ""
    assert slot.exec("stat -c %a .").stdout == "700\n"


def test_a_crowd_that_forks_is_ended_at_once(slot: Slot, neighbour: Slot) -> None:
    slot.spawn(["python3", "-c", CROWD])
    time.sleep(0.3)
    assert neighbour.exec("echo lives").stdout == "lives\n"
    began = time.monotonic()
    slot.reset()
    assert time.monotonic() - began < 5
    assert what_is_there(slot) == ""


def test_what_it_did_is_no_more_known(slot: Slot) -> None:
    process = slot.spawn("sleep 60")
    slot.reset()
    with pytest.raises(SandboxError, match="its slot was given back"):
        process.wait(5)


ACTS: dict[str, Callable[[Slot], object]] = {
    "exec": lambda slot: slot.exec("true"),
    "write": lambda slot: slot.write_file("x", "x"),
    "terminal": lambda slot: slot.open_terminal(),
    "reset": lambda slot: slot.reset(),
}


@pytest.mark.parametrize("act", ACTS)
def test_who_gave_it_back_has_it_no_more(machine: EcsFargateSandbox, act: str) -> None:
    slot = machine.lease_slot()
    slot.give_back()
    slot.give_back()
    with pytest.raises(SandboxError, match=f"slot {slot.number} was given back"):
        ACTS[act](slot)


def test_who_takes_it_from_another_has_it_clean(machine: EcsFargateSandbox) -> None:
    lost = machine.lease_slot()
    lost.write_file("secret", "x")
    lost.spawn("sleep 60")
    with machine.lease_slot(lost.number) as slot:
        assert what_is_there(slot) == ""
        with pytest.raises(SandboxError, match="the slot was given back, or taken from its lease"):
            lost.exec("true")
        lost.give_back()  # of what it had, which is gone
        assert slot.exec("echo still mine").ok


def test_an_upload_that_is_under_way_when_it_is_given_back_leaves_nothing(
    machine: EcsFargateSandbox, slot: Slot, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as large:
        large.truncate(2 << 30)  # so that it cannot be through before a busy machine has given the slot back
    errors: list[BaseException] = []

    def upload() -> None:
        try:
            slot.upload(tmp_path / "large", "large")
        except SandboxError as error:
            errors.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    wait_until(lambda: machine.exec(f"ls -A {slot.home}").stdout or None, deadline=20, what="the first bytes")
    slot.give_back()
    thread.join(30)
    assert len(errors) == 1


@pytest.mark.parametrize("reach", ["{home}/secret", "../../{number}/home/secret", "link"])
def test_a_neighbour_reads_and_writes_nothing_of_it(slot: Slot, neighbour: Slot, reach: str) -> None:
    slot.write_file("secret", "x", mode=0o666)
    slot.exec("chmod 777 . ..; true")
    path = reach.format(home=slot.home, number=slot.number)
    neighbour.exec(f"ln -s {slot.home}/secret link")
    assert neighbour.exec(f"cat {path}").return_code != 0
    with pytest.raises(RemotePermissionError):
        neighbour.read_file(path)
    with pytest.raises(RemotePermissionError):
        neighbour.write_file(f"{slot.home}/x", "x")


def test_commands_in_it_take_turns_and_slots_do_not_wait_for_each_other(
    machine: EcsFargateSandbox, slot: Slot, neighbour: Slot
) -> None:
    begun, go = f"{slot.home}/begun", f"{slot.home}/go"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slot.exec, "touch begun; until [ -e go ]; do sleep 0.05; done; touch done")
        wait_until(lambda: machine.exec(["test", "-e", begun]).ok or None, deadline=60, what="the first one")
        second = pool.submit(slot.exec, "test -e done")
        assert neighbour.exec("true").ok
        time.sleep(0.1)  # in which the second would find nothing
        machine.exec(["touch", go], check=True)
        assert first.result(60).ok
        assert second.result(60).ok


def test_its_limits_leave_the_server_room(slot: Slot) -> None:
    limit = int(slot.exec("grep 'Max processes' /proc/self/limits").stdout.split()[2])
    bound = int(slot.exec("cat /sys/fs/cgroup/pids.max 2>/dev/null || echo 4096").stdout.replace("max", "4096"))
    assert 8 <= limit * 6 <= bound


def test_a_setuid_program_gives_nothing(slot: Slot, machine: EcsFargateSandbox) -> None:
    machine.exec("cp /usr/bin/id /usr/local/bin/id-as-root && chmod 4755 /usr/local/bin/id-as-root", check=True)
    assert slot.exec("/usr/local/bin/id-as-root -u").stdout.strip() == slot.exec("id -u").stdout.strip()


def test_all_of_them_can_be_had_at_once(machine: EcsFargateSandbox) -> None:
    slots = [machine.lease_slot() for _ in range(6)]
    with pytest.raises(SandboxError, match="no slot of this machine is free: 6 of 6 are leased"):
        machine.lease_slot()
    for slot in slots:
        slot.give_back()


def test_an_isolation_that_cannot_be_had_is_said(machine: EcsFargateSandbox) -> None:
    with pytest.raises(SandboxError, match="the slots of this machine have isolation 'user', not 'none'"):
        machine.open_slots(1, require_isolation="none")
    with pytest.raises(ConfigError, match="there is no isolation 'wizardry': there are namespace, user, none"):
        machine.slots(1, require_isolation="wizardry")


def test_where_the_kernel_lets_no_user_have_namespaces_it_is_said(machine: EcsFargateSandbox) -> None:
    """As on Fargate."""
    need("bwrap")
    why = "bwrap: No permissions to create (a )?new namespace"
    with pytest.raises(SandboxError, match=f"the slots of this machine have isolation 'user', not 'namespace': {why}"):
        machine.open_slots(1, require_isolation="namespace")
    with pytest.raises(SandboxError, match=f"takes isolation 'namespace', and here it is 'user': {why}"):
        machine.lease_slot(network="none")


def test_slots_that_are_not_there_are_said(machine: EcsFargateSandbox) -> None:
    with pytest.raises(SandboxError, match="there is no slot 77: this machine has 6"):
        machine.lease_slot(77)
    with pytest.raises(ConfigError, match="1000 slots are too many for 2048 MiB of memory"):
        machine.slots(1000)
    with pytest.raises(ConfigError, match="slots=-1: expected a whole number, 0 or more"):
        machine.slots(-1)
    with pytest.raises(ConfigError, match="number='x': expected a whole number, 0 or more"):
        machine.lease_slot("x")  # type: ignore[arg-type]

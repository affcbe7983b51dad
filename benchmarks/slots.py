"""Slots of one task: leasing, resetting, many side by side, against commands of the machine itself in the same run."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figures import Figure, at_least, at_most, medians_in_turn, seconds, told
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

BOMB = ["python3", "-c", "import os\nwhile 1:\n try: os.fork()\n except OSError: pass"]


def figures() -> Iterator[Figure]:
    sidecar = SshSidecarConfig(exec_server_port=19542)
    config = EcsFargateConfig(cluster="local", cpu="2048", memory="4096", ssh_sidecar=sidecar)
    with EcsFargateSandbox(config, task_id="slots", run_id="benchmark") as machine:
        machine.start()
        machine.open_slots(8)
        yield from leases(machine)
        slots = machine.slots(8)
        yield from resets(slots[0])
        yield from side_by_side(slots)


def leases(machine: EcsFargateSandbox) -> Iterator[Figure]:
    for _ in range(8):
        _lease(machine)  # the first reset of a slot looks everywhere
    lease, bare = medians_in_turn(60, partial(_lease, machine), lambda: machine.exec("true"))
    yield at_most("lease, one command, reset", 1000 * lease, 25, " ms", f"a command alone: {1000 * bare:.1f} ms")


def _lease(machine: EcsFargateSandbox) -> None:
    with machine.lease_slot() as slot:
        slot.exec("true")


def resets(slot: Slot) -> Iterator[Figure]:
    yield at_most("reset of 50 files", _reset(slot, "seq 50 | xargs touch", 30), 10, " ms")
    yield at_most("reset of 1,000 files", _reset(slot, "seq 1000 | xargs touch", 10), 60, " ms")
    yield at_most("reset of a crowd that forks", _reset(slot, BOMB, 3) / 1000, 1, " s")


def _reset(slot: Slot, mess: str | list[str], times: int) -> float:
    """The median in milliseconds."""
    taken = []
    for _ in range(times):
        if isinstance(mess, str):
            slot.exec(mess, check=True)
        else:
            slot.spawn(mess)
            time.sleep(0.5)
        taken.append(seconds(slot.reset))
    return 1000 * statistics.median(taken)


def side_by_side(slots: list[Slot], each: int = 100) -> Iterator[Figure]:
    machine = slots[0].machine
    assert isinstance(machine, EcsFargateSandbox)
    calls = [(slot, "true") for _ in range(each) for slot in slots]
    with ThreadPoolExecutor(len(slots)) as pool:

        def each_in_a_thread(run: Callable[[Slot], object]) -> None:
            list(pool.map(lambda slot: [run(slot) for _ in range(each)], slots))

        one_by_one = _rate(machine, len(calls), lambda: each_in_a_thread(lambda slot: slot.exec("true")))
        bare = _rate(machine, len(calls), lambda: each_in_a_thread(lambda _: machine.exec("true")))
    together = _rate(machine, len(calls), lambda: machine.batch(calls))
    yield at_least("commands a second in 8 slots", one_by_one.a_second, 700, "", f"in the machine: {bare.a_second:.0f}")
    yield told("commands a second in a batch", together.a_second, "")
    detail = f"in the machine: {bare.cpu_ms:.2f} ms, in a batch: {together.cpu_ms:.2f} ms"
    yield told("processor time of a command in a slot", one_by_one.cpu_ms, " ms", detail)


class _Rate(NamedTuple):
    a_second: float
    cpu_ms: float
    """Of each command, here and in the container; what else this machine does makes it wait, and costs none."""


def _rate(machine: EcsFargateSandbox, commands: int, run: Callable[[], object]) -> _Rate:
    before = _cpu_sec(machine)
    took = seconds(run)
    return _Rate(commands / took, 1000 * (_cpu_sec(machine) - before) / commands)


def _cpu_sec(machine: EcsFargateSandbox) -> float:
    """Of this process, and of all in the container, with those that have ended (proc_pid_stat(5))."""
    stats = machine.exec("cat /proc/[0-9]*/stat 2>/dev/null").stdout.splitlines()
    ticks = sum(int(field) for stat in stats for field in stat.rpartition(")")[2].split()[11:15])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

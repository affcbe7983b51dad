"""The slots of a machine: opening them, and leasing them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeVar, cast

from pytest_fargate_sandbox.leaves.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.machine import Machine
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotStates

T = TypeVar("T")

DEFAULT_SLOTS = 10
MIB_FOR_EACH = 32
"""What a slot takes at least, of the task's memory."""

MIB_FOR_ALL = 128
"""What server and sidecar take."""


class MachineSlots:
    """What a machine is beside one sandbox: many slots."""

    _leased: list[Slot] | None = None

    def slots(self, count: int = DEFAULT_SLOTS, *, require_isolation: str | None = None) -> list[Slot]:
        """So many slots, clean, all of them leased to this process; asked again, they are the same.

        ``require_isolation`` raises ``SandboxError`` where that isolation is not to be had; else the best is used, and
        each slot says which that is.
        """
        if self._leased is None or len(self._leased) < count:
            had = self._leased or []
            self.open_slots(count, require_isolation=require_isolation)
            self._leased = had + [self.lease_slot(number) for number in range(len(had), count)]
        return self._leased[:count]

    def open_slots(self, count: int, *, require_isolation: str | None = None) -> SlotStates:
        """See to it that there are so many, leased to nobody yet; how they are isolated, and how they stand."""
        from pytest_fargate_sandbox.server.slots.slot_protocol import OpenSlots, SlotStates

        refuse_unfit(int(self._as_machine.cfg.memory), count, require_isolation)
        request = OpenSlots(count=count, isolation=require_isolation or "")

        def teach_and_open(client: ExecClient) -> SlotStates:
            client.teach("slots.slot_verbs")
            return client.ask(request, SlotStates)

        return self._ask(teach_and_open)

    def lease_slot(self, number: int | None = None, *, one_at_a_time: bool = True) -> Slot:
        """A clean slot: any that is free, or that of this number, whoever has it."""
        from pytest_fargate_sandbox.sandbox.slots.slot import Slot
        from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot

        lease = secrets.token_hex(12)
        request = LeaseSlot(lease=lease, number=-1 if number is None else number)
        states = self.open_slots(0)
        leased = self._ask(lambda client: client.ask(request, LeasedSlot))
        return Slot(self._as_machine, lease, leased, states.isolation, one_at_a_time=one_at_a_time)

    @property
    def _as_machine(self) -> Machine:
        return cast("Machine", self)

    def _ask(self, act: Callable[[ExecClient], T]) -> T:
        started = self._as_machine.running()
        client = started.mode.client(started.connection)
        return started.lifeline.through(lambda: act(client))


def refuse_unfit(memory_mib: int, count: int, isolation: str | None) -> None:
    """What no task of that memory can have; it can be told before anything is launched."""
    from pytest_fargate_sandbox.server.slots.slot_protocol import ISOLATIONS

    most = (memory_mib - MIB_FOR_ALL) // MIB_FOR_EACH
    if count > most:
        raise ConfigError(
            f"{count} slots are too many for {memory_mib} MiB of memory, which has room for {most}: "
            "ask for fewer, or for a task with more memory",
            key="slots",
            value=count,
        )
    if isolation is not None and isolation not in ISOLATIONS:
        known = ", ".join(ISOLATIONS)
        raise ConfigError(f"there is no isolation {isolation!r}: there are {known}", key="isolation", value=isolation)

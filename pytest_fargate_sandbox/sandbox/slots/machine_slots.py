"""The slots of a machine: opening them, and leasing them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast

from pytest_fargate_sandbox.leaves.call_arguments import check_list, check_port
from pytest_fargate_sandbox.leaves.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.leaves.errors import SandboxError
    from pytest_fargate_sandbox.sandbox.machine import Machine
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.sandbox.slots.slot_service import SlotService
    from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolResult
    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotStates

A = TypeVar("A", bound="Message")

DEFAULT_SLOTS = 10
MIB_FOR_EACH = 32
"""What a slot takes at least, of the task's memory."""

MIB_FOR_ALL = 128
"""What server and sidecar take."""


class MachineSlots:
    """What a machine is beside one sandbox: many slots."""

    _leased: tuple[Slot, ...] = ()
    _isolation = ""

    def slots(self, count: int = DEFAULT_SLOTS, *, require_isolation: str | None = None) -> list[Slot]:
        """So many slots, clean, all of them leased to this process; asked again, they are the same.

        ``require_isolation`` raises ``SandboxError`` where that isolation is not to be had; else the best is used, and
        each slot says which that is.
        """
        refuse_unfit(int(self._as_machine.cfg.memory), count, require_isolation)
        had = {slot.number: slot for slot in self._leased if slot.is_running}
        if not had.keys() >= set(range(count)):
            self.open_slots(count, require_isolation=require_isolation)
            self._leased = tuple(had.get(number) or self.lease_slot(number) for number in range(count))
        return list(self._leased[:count])

    def open_slots(self, count: int, *, require_isolation: str | None = None) -> SlotStates:
        """See to it that there are so many, leased to nobody yet; how they are isolated, and how they stand."""
        from pytest_fargate_sandbox.server.slots.slot_protocol import OpenSlots, SlotStates

        refuse_unfit(int(self._as_machine.cfg.memory), count, require_isolation)
        states = self._ask(OpenSlots(count=count, isolation=require_isolation or ""), SlotStates)
        if len(states.states) < count or (
            states.states and states.isolation != (require_isolation or states.isolation)
        ):
            _refuse(
                f"{len(states.states)} slots of isolation {states.isolation!r:.80}, of which {count} were asked for"
            )
        self._isolation = states.isolation
        return states

    def lease_slot(
        self,
        number: int | None = None,
        *,
        one_at_a_time: bool = True,
        exec_timeout_sec: float | None = None,
        network: Literal["none"] | None = None,
    ) -> Slot:
        """A clean slot: any that is free, or that of this number, whoever has it.

        With ``network="none"`` it reaches nothing, which takes isolation ``namespace``: else ``SandboxError`` says so.
        ``exec_timeout_sec`` is for commands that are given no ``timeout_sec``.
        """
        from pytest_fargate_sandbox.sandbox.slots.slot import Slot
        from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot

        if number is not None:
            refuse_what_is_no_number("number", number)
        lease = secrets.token_hex(12)
        request = LeaseSlot(lease=lease, number=-1 if number is None else number, network=network or "")
        leased = self._ask(request, LeasedSlot)
        if number not in (None, leased.number):
            _refuse(f"slot {leased.number}, where slot {number} was asked for")
        isolation = self._isolation or self.open_slots(0).isolation
        return Slot(
            self._as_machine,
            lease,
            leased,
            isolation,
            network=network or "machine",
            one_at_a_time=one_at_a_time,
            exec_timeout_sec=exec_timeout_sec,
        )

    # --- as a server of tools ---------------------------------------------------------------------------------------

    def batch(self, requests: Iterable[Any]) -> list[ToolResult | SandboxError]:
        """Carry out many tool calls at once: ``(slot, command)``, ``(slot, command, timeout)``, or ``ToolRequest``.

        Each has its own result or error, in the order of the requests. Slots run side by side.
        """
        from pytest_fargate_sandbox.sandbox.slots.slot_batch import batch

        check_list("requests", requests)
        return batch(requests)

    def serve(self, port: int = 0, slots: int = DEFAULT_SLOTS) -> SlotService:
        """Offer so many slots over HTTP on our loopback, to who has the service's bearer token. See docs/slots.md."""
        from pytest_fargate_sandbox.sandbox.slots.slot_service import SlotService

        check_port("port", port, 0)
        return SlotService(self.slots(slots), self.health, port)

    def health(self) -> dict[str, Any]:
        """Whether it answers, and how its slots stand."""
        states = self.open_slots(0)
        executing = sum(slot.tools.is_executing for slot in self._leased)
        return {
            "status": "ok",
            "slots": len(states.states),
            "available": len(states.states) - executing - states.states.count("retired"),
            "executing": executing,
            "retired": states.states.count("retired"),
            "isolation": states.isolation,
            "bwrap_available": states.isolation == "namespace",
        }

    @property
    def _as_machine(self) -> Machine:
        return cast("Machine", self)

    def _ask(self, request: Message, answer: type[A]) -> A:
        """Of a server that has been told what slots are."""
        started = self._as_machine.running()
        client = started.mode.client(started.connection)

        def act() -> A:
            client.teach("slots.slot_verbs")
            return client.ask(request, answer)

        return started.lifeline.through(act)


def _refuse(lie: str) -> NoReturn:
    from pytest_fargate_sandbox.sandbox.exec.exec_calls import misbehaviour
    from pytest_fargate_sandbox.server.requests.http1 import Malformed

    raise misbehaviour(Malformed(f"it tells of {lie}"))


def refuse_what_is_no_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{name}={value!r}: expected a whole number, 0 or more", key=name, value=value)


def refuse_unfit(memory_mib: int, count: int, isolation: str | None) -> None:
    """What no task of that memory can have; it can be told before anything is launched."""
    from pytest_fargate_sandbox.server.slots.slot_protocol import ISOLATIONS, MOST_SLOTS

    refuse_what_is_no_number("slots", count)
    most = (memory_mib - MIB_FOR_ALL) // MIB_FOR_EACH
    if count > most:
        raise ConfigError(
            f"{count} slots are too many for {memory_mib} MiB of memory, which has room for {most}: "
            "ask for fewer, or for a task with more memory",
            key="slots",
            value=count,
        )
    if count > MOST_SLOTS:
        raise ConfigError(f"{count} slots are too many: a machine has {MOST_SLOTS} at most", key="slots", value=count)
    if isolation is not None and isolation not in ISOLATIONS:
        known = ", ".join(ISOLATIONS)
        raise ConfigError(f"there is no isolation {isolation!r}: there are {known}", key="isolation", value=isolation)

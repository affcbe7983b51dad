"""All slots of a machine: who has which, under what lease, and which are clean."""

import sys
import threading

from pytest_fargate_sandbox.server.commands.command_table import Commands
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.slots.grounds import Grounds
from pytest_fargate_sandbox.server.slots.slot_protocol import FREE, LEASED, RETIRED, LeasedSlot, SlotStates
from pytest_fargate_sandbox.server.slots.tenant import Tenant, gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.slots.ground import Ground
    from pytest_fargate_sandbox.server.slots.shortage import Watch

_REMEMBERED = 1000


class _Slot:
    """``lock`` is held by who leases or resets it."""

    def __init__(self, number: int, ground: "Ground") -> None:
        self.number = number
        self.ground = ground
        self.lock = threading.RLock()
        self.lease = ""
        self.tenant: "Tenant | None" = None
        """The last one, until it is clean of him."""
        self.retired_for = ""
        self.has_network = True
        self._is_furnished = False

    @property
    def state(self) -> str:
        if self.retired_for:
            return RETIRED
        return LEASED if self.lease else FREE

    def is_let_to(self, lease: str) -> bool:
        return self.tenant is not None and self.tenant.lease == lease

    def clean(self, commands: Commands) -> str:
        """What could not be cleaned; nothing, if all was."""
        try:
            reason = self._end_tenant(self.tenant, commands) if self.tenant else ""
            if not reason and not self._is_furnished:
                self.ground.furnish()
                self._is_furnished = True
            return reason
        except OSError as error:
            return str(error)

    def _end_tenant(self, tenant: Tenant, commands: Commands) -> str:
        tenant.leave()
        self.ground.end_processes(tenant.trees)
        if not tenant.has_left():
            return "a request in its name does not end"
        left = self.ground.end_processes(tenant.trees)  # with what that request may have begun
        if left:
            return "%d processes do not end" % left
        commands.drop_all_of(tenant)
        self.ground.empty()
        reason = self.ground.what_is_left()
        if not reason:
            self.tenant = None
        return reason


class SlotTable:
    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._lock = threading.Lock()
        self._grounds: "Grounds | None" = None
        self._slots: "list[_Slot]" = []
        self._by_lease: "dict[str, _Slot]" = {}
        self._given_back: "dict[str, str]" = {}
        """Leases that are over, each with why, if it did not end of itself."""
        self._watch: "Watch | None" = None

    def open(self, count: int, isolation: str) -> SlotStates:
        """Slots are added to those that are there; how they are isolated is decided once."""
        with self._lock:
            if self._grounds is None:
                if not count:
                    return SlotStates(isolation="none", states=[], retired_for=[])
                self._grounds = Grounds(isolation, self._commands.reaper)
                self._watch = self._grounds.watch(self._leased, self._evict)
            grounds = self._grounds
            if isolation and isolation != grounds.isolation:
                sentence = "the slots of this machine have isolation %r, not %r" % (grounds.isolation, isolation)
                raise Failure("no_isolation", "%s: %s" % (sentence, grounds.why) if grounds.why else sentence)
            while len(self._slots) < count:
                self._slots.append(_Slot(len(self._slots), grounds.make(len(self._slots))))
            grounds.expect(len(self._slots))
            states = [slot.state for slot in self._slots]
            return SlotStates(
                isolation=grounds.isolation,
                why=grounds.why,
                states=states,
                retired_for=[slot.retired_for for slot in self._slots],
            )

    # --- leases -------------------------------------------------------------------------------------------------
    def lease(self, lease: str, number: int, has_network: bool) -> LeasedSlot:
        """Asked again under the same lease, it is the same slot."""
        if not has_network and self._grounds and self._grounds.isolation != "namespace":
            sentence = "a slot without network takes isolation 'namespace', and here it is %r" % self._grounds.isolation
            raise Failure("no_isolation", "%s: %s" % (sentence, self._grounds.why))
        while True:
            slot = self._claim(lease, number)
            with slot.lock:
                if slot.lease == lease and (slot.is_let_to(lease) or self._make_clean(slot)):
                    if not slot.is_let_to(lease):
                        slot.has_network = has_network
                        self._let(slot, lease, is_awaited=True)
                    return LeasedSlot(number=slot.number, home=slot.ground.home, user=slot.ground.user)
            if not slot.retired_for:
                raise gone()
            if number >= 0:
                raise _retired(slot)
            with self._lock:  # any other will do
                self._given_back.pop(lease, None)

    def _let(self, slot: _Slot, lease: str, is_awaited: bool) -> None:
        """With its lock: it is clean, and from now on somebody's. What is not awaited is, by his first command."""
        tenant = Tenant(slot.ground, lease)
        try:
            slot.ground.open(slot.has_network)
            slot.tenant = tenant
            if is_awaited:
                tenant.namespaces()
        except Failure:
            with self._lock:
                self._lose_lease(slot)
            raise

    def _claim(self, lease: str, number: int) -> _Slot:
        with self._lock:
            if lease in self._by_lease:
                return self._by_lease[lease]
            if lease in self._given_back:
                raise gone(self._given_back[lease])
            slot = self._numbered(number) if number >= 0 else self._free()
            self._lose_lease(slot)
            slot.lease = lease
            self._by_lease[lease] = slot
            self._mind()
            return slot

    def _numbered(self, number: int) -> _Slot:
        if number >= len(self._slots):
            raise Failure("not_found", "there is no slot %d: this machine has %d" % (number, len(self._slots)))
        slot = self._slots[number]
        if slot.retired_for:
            raise _retired(slot)
        return slot

    def _free(self) -> _Slot:
        for slot in self._slots:
            if slot.state == FREE:
                return slot
        taken = sum(slot.state == LEASED for slot in self._slots)
        raise Failure("too_many", "no slot of this machine is free: %d of %d are leased" % (taken, len(self._slots)))

    def _lose_lease(self, slot: _Slot, why: str = "") -> None:
        """Under our lock: nothing is asked in its name any more, nor ever again."""
        if slot.lease:
            self._by_lease.pop(slot.lease, None)
            if len(self._given_back) > _REMEMBERED:
                del self._given_back[next(iter(self._given_back))]
            self._given_back[slot.lease] = why
            slot.lease = ""
            self._mind()

    def _mind(self) -> None:
        if self._watch:
            self._watch.want(bool(self._by_lease))

    def _leased(self) -> "dict[str, Ground]":
        with self._lock:
            return {lease: slot.ground for lease, slot in self._by_lease.items()}

    def _evict(self, lease: str, why: str) -> None:
        """The tenant loses his slot, which is clean then."""
        with self._lock:
            slot = self._by_lease.get(lease)
            if slot is None:
                return
            self._lose_lease(slot, why)
        sys.stderr.write("fargate-sandbox: slot %d is taken from its lease: %s\n" % (slot.number, why))
        with slot.lock:
            self._make_clean(slot)

    def tenant_of(self, lease: str) -> Tenant:
        with self._lock:
            slot = self._by_lease.get(lease)
            why = self._given_back.get(lease, "")
            tenant = slot.tenant if slot and slot.is_let_to(lease) else None
        if tenant is None:
            raise gone(why)
        return tenant

    def reset(self, lease: str, keep: bool) -> None:
        """Asked again when it was given back, it has been done."""
        with self._lock:
            slot = self._by_lease.get(lease)
            if slot is None:
                if lease in self._given_back and not keep:
                    return
                raise gone(self._given_back.get(lease, ""))
            if not keep:
                self._lose_lease(slot)
        with slot.lock:
            if not self._make_clean(slot):
                raise _retired(slot)
            if keep:
                self._let(slot, lease, is_awaited=False)

    # --- cleaning -----------------------------------------------------------------------------------------------
    def _make_clean(self, slot: _Slot) -> bool:
        """With its lock: whether nothing of a tenant's is in it, which was looked for. Else it is retired."""
        reason = slot.clean(self._commands)
        if reason:
            with self._lock:
                slot.retired_for = reason
                self._lose_lease(slot)
            sys.stderr.write("fargate-sandbox: slot %d is retired: %s\n" % (slot.number, reason))
        return not reason


def _retired(slot: _Slot) -> Failure:
    return Failure("slot_retired", "slot %d is retired, it could not be cleaned: %s" % (slot.number, slot.retired_for))

"""Where the tests of one process get slots from: any machine's of the run, whoever launched it.

Which slot is whose stands in ``slot_book``; a machine is launched as a sandbox is, by the pool, and then belongs to the
run.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.records.slot_records import SlotRecord
from pytest_fargate_sandbox.run import slot_book
from pytest_fargate_sandbox.run.bound import Instead, NoLongerNeeded, is_in_the_way
from pytest_fargate_sandbox.run.slot_book import Tenant
from pytest_fargate_sandbox.run.slot_lease import SlotLease
from pytest_fargate_sandbox.run.slot_machines import SlotMachines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.leaves.shared_state import SharedState
    from pytest_fargate_sandbox.records.ledger import Ledger
    from pytest_fargate_sandbox.run.bound import TaskBound, Tasks
    from pytest_fargate_sandbox.run.reuse import Reuse
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.run.slot_book import Place
    from pytest_fargate_sandbox.run.task_lease import TaskLease
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

    Start = Callable[[SandboxSpec, str, Instead], TaskLease]


class _Had(NamedTuple):
    """A slot that somebody has: where, and through what connection."""

    place: Place
    machine: EcsFargateSandbox
    slot: Slot


_TRIES = 10
"""So many slots may turn out to be retired, or to be on machines that are gone, before a test is told."""


class SlotPool:
    """``lease`` gives a slot; ``close`` lets go of the machines, which the end of the run ends."""

    def __init__(
        self,
        state: SharedState,
        ledger: Ledger,
        bound: TaskBound,
        tasks: Tasks,
        *,
        worker: str,
        owner: Mapping[str, Any],
        secret: bytes,
        start: Start,
        reuse: Reuse | None = None,
    ) -> None:
        """``start(spec, test, instead)`` launches a machine; it may give up with ``NoLongerNeeded``.

        With ``reuse`` it may be one that an earlier run has left, and is left to the next one.
        """
        self._state, self._ledger, self._bound, self._tasks = state, ledger, bound, tasks
        self._worker, self._owner, self._start, self._reuse = worker, owner, start, reuse
        self._machines = SlotMachines(ledger.run_id, secret)

    def lease(self, spec: SandboxSpec, *, keep: str, test: str) -> SlotLease:
        """A clean slot with the spec's snapshots and files in it."""
        began = time.monotonic()
        tenant = Tenant(secrets.token_hex(8), self._worker)
        try:
            had = self._slot(spec, tenant, test)
        except BaseException:
            self._let_go(tenant)
            raise
        slot, record, waited = had.slot, self._record(tenant), round(time.monotonic() - began, 4)
        facts = {"machine": slot.task_arn, "slot": slot.number, "home": slot.home, "isolation": slot.isolation}
        record.leased(**facts, worker=self._worker, waited_sec=waited, tests=[test])
        lease = SlotLease(
            slot,
            keep=keep,
            test=test,
            phases={"waited": waited},
            note=record.note,
            let_live=partial(self._let_live, had, tenant, test),
            take_back=partial(self._take_back, had, tenant),
        )
        try:
            spec.put_into(slot)
        except BaseException:
            lease.end(may_keep=False)
            raise
        return lease

    def close(self) -> None:
        self._machines.close()

    # --- getting one --------------------------------------------------------------------------------------------------

    def _slot(self, spec: SandboxSpec, tenant: Tenant, test: str) -> _Had:
        for attempt in range(1, _TRIES + 1):
            place = self._place(spec, tenant, test)
            try:
                machine = self._machines.of(place, spec)
                slot = machine.lease_slot(place.number, exec_timeout_sec=spec.exec_timeout)
            except SandboxError as error:
                is_gone = self._is_retired(place, tenant, error) or self._is_lost(place, error)
                if not is_gone or attempt == _TRIES:
                    raise
            else:
                return _Had(place, machine, slot)
        raise AssertionError("the last try returns, or raises")

    def _place(self, spec: SandboxSpec, tenant: Tenant, test: str) -> Place:
        """One on a machine that runs; whoever has the first one that there is none for starts it."""
        rests, kind = pauses(0.02, 0.25), self._kind(spec)
        while True:
            with self._state.change() as document:
                place = slot_book.place_for(
                    document,
                    tenant,
                    kind,
                    spec.slots,
                    near=self._machines.near,
                    may_wait_for=lambda starter: not is_in_the_way(document, self._worker, of=starter),
                )
            if place.up:
                return place
            if place.is_ours_to_start:
                self._launch(place.machine, spec, test)
            else:
                self._machines.get_ready(spec)
                time.sleep(next(rests))

    def _kind(self, spec: SandboxSpec) -> str:
        """Ways from a machine back to us are one process's, so that one has machines of its own."""
        return f"{spec.kind}/{self._worker}" if spec.outside else spec.kind

    def _launch(self, name: str, spec: SandboxSpec, test: str) -> None:
        kind = self._kind(spec)
        a_slot = Instead(
            lambda document: slot_book.is_free_now(document, kind),
            lambda document, waiting: slot_book.may_become_free(document, kind, waiting),
        )
        try:
            machine = self._start(dataclasses.replace(spec, files={}, snapshots={}), test, a_slot)
            try:
                machine.sandbox.open_slots(spec.slots, require_isolation=spec.isolation)
            except BaseException:
                machine.end(may_keep=False)
                raise
        except BaseException as error:
            with self._state.change() as document:
                slot_book.did_not_start(document, name)
            if isinstance(error, NoLongerNeeded):
                return
            raise
        self._machines.add(name, machine.sandbox)
        ttl, way_in = spec.config.max_task_lifetime_sec, machine.sandbox.way_in()
        if machine.leave:
            machine.leave(machine.sandbox)
        machine.sandbox.hand_over(self._owner)  # before others are sent there: from here on it does not end with us
        with self._state.change() as document:
            slot_book.came_up(document, name, row=machine.seat.row, ttl=ttl, age=machine.sandbox.age_sec, facts=way_in)

    # --- giving it up -------------------------------------------------------------------------------------------------

    def _take_back(self, had: _Had, tenant: Tenant) -> None:
        """What keeps it from being cleaned now does not keep the next one from having it cleaned first."""
        try:
            had.slot.give_back()
        except SandboxError as error:
            if not self._is_retired(had.place, tenant, error):
                self._is_lost(had.place, error)
        self._let_go(tenant)
        self._record(tenant).ended()

    def _let_live(self, had: _Had, tenant: Tenant, test: str) -> None:
        """Its machine outlives the run, and in that the slot as the test has left it."""
        with self._state.change() as document:
            tests = slot_book.keep(document, tenant, test)
        had.machine.let_live()
        if self._reuse:
            self._reuse.drop(str(had.machine.task_arn))  # the next run would clean the slot
        had.machine.note("tested", tests=tests)
        self._record(tenant).ended(kept=True)

    def _record(self, tenant: Tenant) -> SlotRecord:
        return SlotRecord(self._ledger, tenant.claim)

    def _let_go(self, tenant: Tenant) -> None:
        with self._state.change() as document:
            slot_book.let_go(document, tenant)

    def _is_retired(self, place: Place, tenant: Tenant, error: SandboxError) -> bool:
        """Whether its server gives it to nobody any more. A machine that has no other slot is of no use."""
        if error.context.get("kind") != "slot_retired" or place.up is None:
            return False
        with self._state.change() as document:
            spent = slot_book.let_go(document, tenant, retired=True)
        arn = place.up["task_arn"]
        self._record(tenant).retired(arn, place.number, error.message)
        if spent is not None:
            self._lose(spent)
            self._tasks.stop(arn)
        return True

    def _is_lost(self, place: Place, error: SandboxError) -> bool:
        """Whether its machine is no more; then nobody is sent there again."""
        if not self._machines.is_lost(place.machine, error):
            return False
        self._lose(place.machine)
        if self._reuse and place.up:
            self._tasks.stop(place.up["task_arn"])  # nobody else answers for it
        return True

    def _lose(self, name: str) -> None:
        with self._state.change() as document:
            row = slot_book.lose(document, name)
        if row is not None:
            self._bound.stopping(row)
        self._machines.drop(name)

"""What runs of one ``--fargate-reuse`` name have of each other: which machine fits whom, and when it is as new."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError, SandboxLost, TransportError
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.reuse_book import SESSION, SLOTS, ReuseBook, end_left
from pytest_fargate_sandbox.sandbox.renewing import begin_renewal, check_renewed, note_start
from pytest_fargate_sandbox.server.bundle import fingerprint
from pytest_fargate_sandbox.server.slots.slot_protocol import LEASED, RETIRED

if TYPE_CHECKING:
    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.records.kept_tasks import KeptTask
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

__all__ = ["SESSION", "SLOTS", "Reuse"]

_RENEWAL_SEC = 1.0
"""What has not become as new by then goes on alone, and the next run is told."""


class Reuse:
    """Of one process of the run."""

    def __init__(self, name: str, run_id: str) -> None:
        self._book = ReuseBook(name, run_id)
        self._book.use()

    def close(self) -> None:
        self._book.let_go()

    @property
    def name(self) -> str:
        return self._book.name

    def take(self, purpose: str, spec: SandboxSpec) -> KeptTask | None:
        """One for that purpose that such a spec would launch, as far as that can be told: of a tag it is the name."""
        return self._book.take(purpose, _fit(spec))

    def move_in(self, sandbox: EcsFargateSandbox, kept: KeptTask, purpose: str, spec: SandboxSpec) -> None:
        """Have it, as new. Raises ``SandboxError`` where that cannot be."""
        sandbox.move_in(kept)
        if purpose == SLOTS:
            _clean_slots(sandbox, spec.slots)
        else:
            check_renewed(sandbox)
            self._book.drop(kept.task_arn)  # who is killed leaves it to nobody

    def put_back(self, kept: KeptTask) -> None:
        self._book.put_back(kept.task_arn)

    def refuse(self, kept: KeptTask) -> None:
        """It is of no use: it ends, if it has not ended."""
        if end_left(kept, "what was left was of no use to the next run"):
            self._book.drop(kept.task_arn)

    def begin(self, machine: EcsFargateSandbox, purpose: str) -> bool:
        """It was launched just now; whether it can be left in the end. Raises what a sandbox that is lost raises."""
        try:
            if purpose == SESSION:
                note_start(machine)
        except (SandboxLost, TransportError):
            raise
        except SandboxError as error:  # nothing here can be written, or its Python has not all that is wanted
            machine.note("not_left", why=str(error))
            return False
        return True

    def leave(self, machine: EcsFargateSandbox, purpose: str, spec: SandboxSpec) -> None:
        """For the next run, and from now on: whoever is killed leaves it too, as one that has slots to be cleaned.

        Raises ``SandboxError`` where it cannot be made as new.
        """
        if purpose == SESSION:
            why_not = begin_renewal(machine, wait_sec=_RENEWAL_SEC)
            if why_not:
                raise SandboxError(why_not)
        self._book.leave(str(machine.task_arn), purpose, _fit(spec))
        machine.let_live(reuse=self.name)

    def drop(self, task_arn: str) -> None:
        self._book.drop(task_arn)


def _clean_slots(machine: EcsFargateSandbox, count: int) -> None:
    """End what tenants of a run that was killed have left running. Raises ``SandboxError`` where it is not as new."""
    states = machine.open_slots(count).states
    if RETIRED in states:
        raise SandboxError(f"a slot of {machine.task_arn} is retired")
    for number, state in enumerate(states):
        if state == LEASED:
            machine.lease_slot(number).give_back()


def _fit(spec: SandboxSpec) -> str:
    """The same for all whose machines are interchangeable, also between runs: with the place, and the server's code."""
    made_of = [spec.kind, spec.slots, dict(resolve_place(spec.config).facts), fingerprint()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:32]

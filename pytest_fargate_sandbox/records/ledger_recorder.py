"""One machine's lines in a ledger, and its exit guard: a task that is launched ends with this process."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.names import TAG_LEDGER, Cause
from pytest_fargate_sandbox.leaves.process_identity import this_process
from pytest_fargate_sandbox.records import exit_guard
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.sandbox.machine_ties import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.records.kept_tasks import KeptTask
    from pytest_fargate_sandbox.sandbox.machine import Machine, Place


_ONLY_TOLD = {"phase", "ready", "refused", "given_up", "stopped", "set_up", "tested", "used", "not_left"}
"""Events without which a task ends none the less, by whoever has it or by the sweep."""


class LedgerRecorder(Recorder):
    """``entry`` is the id of the entry that it writes, from the machine's first start on."""

    def __init__(self, ledger: Ledger, *, entry: str = "") -> None:
        self.entry = entry
        self._ledger = ledger
        self._place: Place | None = None
        self._forget_keys: Callable[[], None] | None = None
        """There are such keys where another process may take the task over."""

    def open(self, machine: Machine, place: Place, ahead: Mapping[str, Any] | None) -> Mapping[str, str]:
        with _or_nothing_is_launched():
            return self._opened(machine, place, ahead)

    def _opened(self, machine: Machine, place: Place, ahead: Mapping[str, Any] | None) -> Mapping[str, str]:
        self._place, self._forget_keys = place, None
        launched = self._ledger.entry_of(str(ahead["taskArn"])) if ahead else None
        if launched is not None and launched.facts["endpoint_url"] != place.facts["endpoint_url"]:
            self._ledger.write(launched.id, "stopped", cause=Cause.ENGINE_LOST)
            text = f"{launched.task_arn} was launched ahead of need, on an engine that is no more"
            raise StartError(text, phase="launch", cause=Cause.ENGINE_LOST, reason=text, transient=True)
        if launched is not None:  # it keeps its entry, with this process as the new owner
            self._ledger.own(launched.id, "claimed", task_id=machine.task_id, labels=dict(machine.labels))
            self.entry = launched.id
        else:
            self.entry = self._ledger.open_entry(
                task_id=machine.task_id,
                labels=dict(machine.labels),
                ttl=place.cfg.max_task_lifetime_sec,
                **_what_it_costs_by(place.cfg),
                **place.facts,
            )
        return {TAG_LEDGER: self.entry}

    def record(self, event: str, **facts: Any) -> None:
        """The ledger's line comes first; then the guard, which needs the task's ARN."""
        with _or_nothing_is_launched():
            self._write(event, **facts)
        if event == "launched":
            self._guard(facts["task_arn"])
        elif event == "stopped":
            exit_guard.release(facts["task_arn"])

    def let_go(self, task_arn: str) -> None:
        exit_guard.release(task_arn)

    def may_move(self, forget_keys: Callable[[], None]) -> None:
        """From now on other processes may take the task over, by keys that are to be forgotten when it ends."""
        self._forget_keys = forget_keys

    def take_over(self, place: Place, task_arn: str, forget_keys: Callable[[], None]) -> None:
        """The task ends with this process, and not with the one that answered for it before."""
        self._place, self._forget_keys = place, forget_keys
        self._ledger.own(self.entry, "taken_over", task_arn=task_arn)
        self._guard(task_arn)

    def move_in(self, machine: Machine, place: Place, kept: KeptTask) -> None:
        """Another run's task, which was kept, is this one's: it has an entry here before it has none there."""
        self._place, self._forget_keys = place, None
        born = kept.expires - place.cfg.max_task_lifetime_sec
        self.entry = self._ledger.open_entry(
            task_id=machine.task_id,
            labels=dict(machine.labels),
            ttl=max(0.0, kept.expires - time.time()),
            **_what_it_costs_by(place.cfg),
            **place.facts,
        )
        self.record("launched", task_arn=kept.task_arn, image=kept.image, left_by=kept.run_id, born=born)
        theirs = Ledger(kept.run_id)
        theirs.write(kept.ledger_entry, "stopped", task_arn=kept.task_arn, left_to=self._ledger.run_id)
        theirs.write(kept.ledger_entry, "taken_over")  # it is kept there no longer
        if all(entry.is_over and not entry.is_kept for entry in theirs.entries()):
            theirs.drop()

    def leave(self, task_arn: str) -> None:
        """Who answers for a task that may move leaves it to the next one, until its time is over."""
        if self._forget_keys and self.is_ours:
            self.note("kept", task_arn=task_arn)

    @property
    def is_ours(self) -> bool:
        """Whether no other process has taken the task over. Read anew: a signal may interrupt whoever has the lock."""
        if not self._forget_keys:
            return True
        entry = next((each for each in Ledger.at(self._ledger.path).entries() if each.id == self.entry), None)
        return entry is None or entry.owner == tuple(this_process().values())

    def note(self, event: str, **facts: Any) -> None:
        """Write something about the machine that is no step of its life."""
        if self.entry:
            self._write(event, **facts)

    def _write(self, event: str, **facts: Any) -> None:
        write = self._ledger.tell if event in _ONLY_TOLD else self._ledger.write
        write(self.entry, event, **facts)

    def _guard(self, task_arn: str) -> None:
        if self._place is not None:
            aws, cluster = self._place.aws, self._place.cfg.cluster
            ledger, entry = self._ledger, self.entry

            def on_stopped() -> None:
                ledger.tell(entry, "stopped", crashed=True)
                if self._forget_keys:
                    self._forget_keys()

            exit_guard.guard(exit_guard.LiveTask(aws, cluster, task_arn, on_stopped, is_ours=lambda: self.is_ours))


@contextmanager
def _or_nothing_is_launched() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"the ledger {error.filename} cannot be written: {error.strerror}"
        raise StartError(f"nothing was launched: {text}", phase="ledger", reason=text) from error


def _what_it_costs_by(cfg: EcsFargateConfig) -> dict[str, Any]:
    spot = cfg.capacity_provider == "FARGATE_SPOT"
    size = {"cpu": cfg.cpu, "memory": cfg.memory, "storage_gib": cfg.ephemeral_storage_gib}
    return {**size, "spot": spot, "public_address": cfg.assign_public_ip}

"""``EcsFargateSandbox``, which users make: a machine with one workspace, that finds its place and leaves nothing."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.call_arguments import check_kind, check_name
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import TAG_KEPT
from pytest_fargate_sandbox.place.resolve_place import FoundPlace, find_again, resolve_place
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.records import exit_guard
from pytest_fargate_sandbox.records.kept_tasks import KeptTask
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.ledger_recorder import LedgerRecorder
from pytest_fargate_sandbox.records.sandbox_state import kept_by, state_of
from pytest_fargate_sandbox.records.sweep_beside import sweep_beside
from pytest_fargate_sandbox.sandbox.keyring import Keyring
from pytest_fargate_sandbox.sandbox.machine import Machine
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_of
from pytest_fargate_sandbox.sandbox.side_door import DOOR
from pytest_fargate_sandbox.sandbox.slots.machine_slots import MachineSlots
from pytest_fargate_sandbox.sandbox.workspace import Workspace

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping

    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.sandbox.machine_ties import Admission

_log = logging.getLogger("pytest_fargate_sandbox")


class EcsFargateSandbox(MachineSlots, Machine, Workspace):
    """A sandbox on the ECS cluster that ``cfg`` names; the cluster ``local`` is the embedded engine.

    In exec-server mode commands and files work. In agent-server mode the image's own command runs, ``local_port``
    leads to its ``container_port``, and commands raise ``ConfigError``.

    Making one costs nothing; ``start`` finds the place, launches the task and returns when it takes commands. Every
    launch is recorded first, and stopped when this process ends, whatever ends it. ``keep`` lets a task live on.
    """

    def __init__(
        self,
        cfg: EcsFargateConfig,
        *,
        task_id: str,
        run_id: str,
        labels: Mapping[str, str] | None = None,
        recorder: LedgerRecorder | None = None,
        admission: Admission | None = None,
        secret: bytes | None = None,
        exec_timeout_sec: float | None = None,
        cwd: str | None = None,
    ) -> None:
        expected = "an EcsFargateConfig, such as EcsFargateConfig.from_dict makes of a mapping"
        check_kind("cfg", cfg, EcsFargateConfig, expected)
        check_name("task_id", task_id)
        check_name("run_id", run_id)
        self._lines = recorder or LedgerRecorder(Ledger(run_id))
        self._kept: KeptTask | None = None
        self._is_tagged = False
        """Its task, as one that may outlive whoever has it."""
        Machine.__init__(
            self,
            cfg,
            task_id=task_id,
            run_id=run_id,
            find_place=_find_place,
            recorder=self._lines,
            admission=admission,
            labels=labels,
            secret=secret,
        )
        Workspace.__init__(self, self, exec_timeout_sec=exec_timeout_sec, cwd=cwd)
        exit_guard.watch_signals()  # only the main thread may, and start() is often called in another

    def start(
        self,
        *,
        force_build: bool = False,
        outside_endpoints: Iterable[OutsideEndpoint] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        super().start(force_build=force_build, outside_endpoints=outside_endpoints, cancel=cancel)
        DOOR.lead_to(self)

    def detach(self) -> None:
        self._leave_it()
        if self.task_arn:
            self._lines.leave(self.task_arn)
        super().detach()

    def stop(self) -> None:
        """End the task; where another process has taken it over (``from_state``), only let go of it."""
        self._leave_it()
        kept, self._kept = self._kept, None
        if not self._lines.is_ours:
            super().detach()
            return
        super().stop()
        if kept:
            kept.forget()

    def to_state(self) -> dict[str, Any]:
        """What another process of this user needs to carry on with the task: JSON, with the path of a file of its keys.

        This process goes on using the task and ends it, by ``stop`` or at its own end, until another has called
        ``from_state``. ``detach`` leaves it to whoever comes. Killed with SIGKILL, this process leaves it too; then it
        ends with its time to live, or by ``fargate-sandbox stop``.
        """
        if self._kept is None:
            self._kept = self.let_live()
            self._lines.may_move(self._kept.forget)
        self._lines.leave(str(self.running().task.arn))  # to the next one, should we be killed
        return state_of(self._kept)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EcsFargateSandbox:
        """Carry on with a task of another process, and answer for it: it ends with this one, by ``stop`` or otherwise.

        The other's ``stop`` and its end leave it alone from now on. Of several that take it the last one has it.
        What leads out of the sandbox to the other process (outside endpoints) goes with that. Raises ``SandboxError``
        if the task is over, with its ``cause`` where ECS tells, and ``ConfigError`` if the state is none.
        """
        kept = kept_by(state)
        sandbox = cls.attach(kept)
        if sandbox.place:
            sandbox._lines.take_over(sandbox.place, kept.task_arn, kept.forget)
        DOOR.lead_to(sandbox)
        return sandbox

    def keep(self) -> KeptTask:
        """Let the task live until its time is over, and let go of it here. The keys to it go into the user's cache."""
        kept = self.let_live()
        self.detach()
        return kept

    def let_live(self, *, reuse: str | None = None) -> KeptTask:
        """As ``keep``, without letting go. ``reuse``: the name under which the next run is to find it."""
        started = self.running()
        kept = KeptTask(
            task_arn=started.task.arn,
            task_id=self.task_id,
            run_id=self.run_id,
            host=started.connection.host,
            image=self.image,
            expires=int(started.task.began_at + self.cfg.max_task_lifetime_sec),
            keyring=started.keyring.to_dict(),
            cfg=dataclasses.asdict(self.cfg),
            place=dict(self.place.facts) if self.place else {},
            ledger_entry=self._lines.entry,
        )
        self.note("kept", task_arn=kept.task_arn, reuse=reuse)
        kept.save()
        if reuse:  # from now on it ends with no process
            self._lines.let_go(kept.task_arn)
        if self._is_tagged:
            return kept
        try:
            tags = [{"key": TAG_KEPT, "value": "true"}]
            self.aws.call("ecs", "TagResource", resourceArn=kept.task_arn, tags=tags)
            self._is_tagged = True
        except AwsError as error:
            _log.warning("%s is kept, and not tagged so: %s", kept.task_arn, error)
        return kept

    def let_outlive(self) -> KeptTask:
        """As ``keep``, and go on with it: from now on it ends with its time, or by ``stop``, and with no process."""
        self._kept = kept = self.let_live()
        self._lines.let_go(kept.task_arn)
        return kept

    def hand_over(self, owner: Mapping[str, Any]) -> None:
        """The task is from now on shared by processes of a run, and ends with ``owner``, one of them."""
        self.note("shared", **owner)
        if owner["pid"] != os.getpid():
            self._lines.let_go(str(self.task_arn))

    @property
    def age_sec(self) -> float:
        """How much of its task's time to live is over."""
        return max(0.0, time.time() - self.running().task.began_at)

    def way_in(self) -> dict[str, str]:
        """What another process of the run needs, who knows its secret, to ``join``; nothing of it is secret."""
        started = self.running()
        return {
            "task_arn": started.task.arn,
            "host": started.connection.host,
            "image": self.image,
            "task_id": self.task_id,
            "keyed_as": self.keyed_as,
            "ledger_entry": self._lines.entry,
        }

    @classmethod
    def join(cls, cfg: EcsFargateConfig, way_in: Mapping[str, str], *, run_id: str, secret: bytes) -> EcsFargateSandbox:
        """Enter a task that another process of the run has handed over. ``detach`` leaves it to the others."""
        place = resolve_place(cfg)
        recorder = LedgerRecorder(Ledger(run_id), entry=way_in["ledger_entry"])
        sandbox = cls(cfg, task_id=way_in["task_id"], run_id=run_id, recorder=recorder, secret=secret)
        sandbox.enter(
            place,
            task_arn=way_in["task_arn"],
            host=way_in["host"],
            keyring=mode_of(place.cfg).make_keyring(place.cfg, place.aws, task_id=way_in["keyed_as"], secret=secret),
            image=way_in["image"],
        )
        return sandbox

    @classmethod
    def attach(cls, kept: KeptTask) -> EcsFargateSandbox:
        """Enter a kept task again, from any process of this user. ``stop`` ends it, ``detach`` leaves it alone."""
        recorder = LedgerRecorder(Ledger(kept.run_id), entry=kept.ledger_entry)
        sandbox = cls(kept.config, task_id=kept.task_id, run_id=kept.run_id, recorder=recorder)
        sandbox._kept = kept
        sandbox._enter_kept(kept)
        return sandbox

    def move_in(self, kept: KeptTask) -> None:
        """Have a kept task of another run, which is over there and of this sandbox's run from now on.

        Raises ``SandboxError`` if it is gone or does not answer; then it is the other run's still.
        """
        self._enter_kept(kept)
        assert self.place is not None
        self._lines.move_in(self, self.place, kept)
        kept.forget()
        self._is_tagged = True
        DOOR.lead_to(self)

    def _enter_kept(self, kept: KeptTask) -> None:
        aws = find_again(kept.place)
        if aws is None:
            kept.forget()
            raise SandboxError(f"{kept.task_arn} ran on a local engine that is no more")
        self.enter(
            FoundPlace.again(kept.config, aws, kept.place),
            task_arn=kept.task_arn,
            host=kept.host,
            keyring=Keyring.from_dict(kept.keyring),
            image=kept.image,
        )

    def _leave_it(self) -> None:
        DOOR.lead_no_more_to(self.task_arn)
        self.abandon_terminals()

    def note(self, event: str, **facts: Any) -> None:
        """Write something about the task into the ledger."""
        self._lines.note(event, **facts)


def _find_place(cfg: EcsFargateConfig) -> FoundPlace:
    try:
        place = resolve_place(cfg)
    except AwsError as error:
        raise StartError(str(error), phase="account", reason=error.reason, transient=error.transient) from error
    sweep_beside(place.cfg.cluster, place.aws.region, place.aws.answers_at)
    return place

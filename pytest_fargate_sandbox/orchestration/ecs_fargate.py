"""``EcsFargateSandbox``: what users make. A ``FargateSandbox`` that finds its place, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import TAG_KEPT, TAG_LEDGER
from pytest_fargate_sandbox.orchestration import crash
from pytest_fargate_sandbox.orchestration.kept import KeptTask
from pytest_fargate_sandbox.orchestration.ledger import Ledger
from pytest_fargate_sandbox.orchestration.sweep import sweep_ledgers
from pytest_fargate_sandbox.orchestration.target import Target, find_again, resolve_target
from pytest_fargate_sandbox.providers.aws import connect
from pytest_fargate_sandbox.providers.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.fargate import FargateSandbox
from pytest_fargate_sandbox.sandbox.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint

_log = logging.getLogger("pytest_fargate_sandbox")


class EcsFargateSandbox(FargateSandbox):
    """A sandbox on the ECS cluster that ``cfg`` names; the cluster ``local`` is the embedded engine.

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
        pace: Callable[[], None] | None = None,
        secret: bytes | None = None,
    ) -> None:
        super().__init__(
            cfg,
            task_id=task_id,
            run_id=run_id,
            aws=connect(region=cfg.region, endpoint_url=cfg.endpoint_url),
            owner=cfg.owner or "",
            labels=labels,
            journal=self._record,
            pace=pace,
            secret=secret,
        )
        self._asked_cfg = cfg
        self._target: Target | None = None
        self._ledger = Ledger(run_id)
        self._entry = ""
        self._kept: KeptTask | None = None
        crash.watch_signals()  # only the main thread may, and start() is often called in another

    def start(self, *, force_build: bool = False, outside_endpoints: Iterable[OutsideEndpoint] | None = None) -> None:
        with self._life:
            if self._started is not None:
                return
            self._find_place()
            _sweep_once(self.cfg.cluster, self.aws.region, self.aws.answers_at)
            super().start(force_build=force_build, outside_endpoints=outside_endpoints)

    def launch_ahead(self) -> str:
        with self._life:
            self._find_place()
            _sweep_once(self.cfg.cluster, self.aws.region, self.aws.answers_at)
            arn = super().launch_ahead()
        crash.release(arn)
        return arn

    def keep(self) -> KeptTask:
        """Let the task live until its time is over, and let go of it here. The keys to it go into the user's cache."""
        started = self._running()
        kept = KeptTask(
            task_arn=started.task.arn,
            task_id=self.task_id,
            run_id=self.run_id,
            host=started.connection.host,
            image=self.image,
            expires=int(started.task.began_at + self.cfg.max_task_lifetime_sec),
            keyring=started.keyring.to_dict(),
            cfg=dataclasses.asdict(self.cfg),
            place=self._target.facts if self._target else {},
            ledger_entry=self._entry,
        )
        self._record("kept", task_arn=kept.task_arn)
        kept.save()
        try:
            tags = [{"key": TAG_KEPT, "value": "true"}]
            self.aws.call("ecs", "TagResource", resourceArn=kept.task_arn, tags=tags)
        except AwsError as error:
            _log.warning("%s is kept, and not tagged so: %s", kept.task_arn, error)
        self.detach()
        return kept

    def detach(self) -> None:
        arn = self.task_arn
        super().detach()
        if arn:
            crash.release(arn)

    @classmethod
    def attach(cls, kept: KeptTask) -> EcsFargateSandbox:
        """Enter a kept task again, from any process of this user. ``stop`` ends it, ``detach`` leaves it alone."""
        aws = find_again(kept.place)
        if aws is None:
            kept.forget()
            raise SandboxError(f"{kept.task_arn} ran on a local engine that is no more")
        sandbox = cls(kept.config, task_id=kept.task_id, run_id=kept.run_id)
        sandbox.aws, sandbox.image = aws, kept.image
        sandbox._entry, sandbox._kept = kept.ledger_entry, kept
        sandbox._enter(kept.task_arn, kept.host, Keyring.from_dict(kept.keyring))
        return sandbox

    def stop(self) -> None:
        arn = self.task_arn
        super().stop()
        if arn:
            crash.release(arn)
        if self._kept:
            self._kept.forget()

    def note(self, event: str, **facts: Any) -> None:
        """Write something about the task into the ledger."""
        if self._entry:
            self._ledger.write(self._entry, event, **facts)

    def _find_place(self) -> None:
        try:
            target = resolve_target(self._asked_cfg)
        except AwsError as error:
            raise StartError(str(error), phase="account", reason=error.reason, transient=error.transient) from error
        self._target = target
        self.cfg, self.aws, self.owner = target.cfg, target.aws, target.owner
        self._entry = self._open_entry(target)
        self.labels = {**self.labels, TAG_LEDGER: self._entry}

    def _open_entry(self, target: Target) -> str:
        return self._ledger.open_entry(
            task_id=self.task_id, labels=self.labels, ttl=self.cfg.max_task_lifetime_sec, **target.facts
        )

    def _record(self, event: str, **facts: Any) -> None:
        """The ledger's line comes first; then the guard, which needs the task's name."""
        self._ledger.write(self._entry, event, **facts)
        arn = facts.get("task_arn", "")
        if event == "launched":
            entry, ledger = self._entry, self._ledger
            crash.guard(
                crash.LiveTask(self.aws, self.cfg.cluster, arn, lambda: ledger.write(entry, "stopped", crashed=True))
            )
        elif event == "stopped":
            crash.release(arn)


@cache
def _sweep_once(cluster: str, region: str, endpoint_url: str | None) -> None:
    for arn in sweep_ledgers({"cluster": cluster, "region": region, "endpoint_url": endpoint_url}):
        _log.warning("stopped %s, which an earlier process had left", arn)

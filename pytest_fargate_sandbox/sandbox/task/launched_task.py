"""A launched task: what ECS says of it, where it is, how it ended, and its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxLost, StartError, StartTimeout
from pytest_fargate_sandbox.leaves.names import SIDECAR_CONTAINER
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.task.addresses import (
    interface,
    private_address,
    reachable_address,
    session_address,
    through_sessions,
)
from pytest_fargate_sandbox.sandbox.task.causes import STOPPED_BY_OWNER
from pytest_fargate_sandbox.sandbox.task.diagnosis import Diagnosis, container_logs
from pytest_fargate_sandbox.sandbox.task.poller import Poller, Watch, poller_for
from pytest_fargate_sandbox.sandbox.task.registration import definition_of
from pytest_fargate_sandbox.sandbox.task.stopping import stop_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_THIS_MOMENT_SEC, _MEANWHILE_SEC = 0.2, 1.0
"""How old news of an end may be where calls are counted: of many tasks that end at once each is asked about."""
_LAST_WORDS_SEC = 5.0
"""How long to wait for exit codes once ECS says that a task is ending. On AWS the end itself takes half a minute."""


class LaunchedTask:
    """One task of ours, watched from the moment that ECS named it."""

    def __init__(
        self,
        description: dict[str, Any],
        *,
        cfg: EcsFargateConfig,
        aws: Aws,
        registration: Mapping[str, Any] | None,
        clock: str = SIDECAR_CONTAINER,
        patience_sec: float | None = None,
    ) -> None:
        """``clock`` is the container that holds its time to live; ``patience_sec`` is for what starts in it.

        Without a ``registration``, of a task that another process launched, ECS is asked for it where it is needed.
        """
        self._cfg = cfg
        self._clock = clock
        self._patience_sec = patience_sec or cfg.startup_timeout_sec
        self._aws = aws
        self._registration = registration
        self._began, self._launched = time.monotonic(), time.time()
        self.watch = Watch(description, cfg.poll_interval_sec, steady=aws.is_counted)
        self._poller: Poller = poller_for(aws, cfg.cluster)
        self._poller.watch(self.watch)

    @property
    def arn(self) -> str:
        return self.watch.task_arn

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def is_known(self) -> bool:
        """Whether ECS has ever described it to us."""
        return "lastStatus" in self.watch.description

    @property
    def began_at(self) -> float:
        """When ECS made it, in seconds since the epoch."""
        if "createdAt" not in self.watch.description:
            self._ask_calmly()
        created = self.watch.description.get("createdAt")
        return float(created.timestamp()) if created else time.time()

    @property
    def launch_sec(self) -> float | None:
        """How long it took from RunTask until it ran, as far as ECS has told us."""
        return launch_sec(self.watch.description)

    @property
    def ending(self) -> bool:
        return self.watch.ending

    @property
    def private_address(self) -> str | None:
        return private_address(self.watch.description)

    # --- while it starts ------------------------------------------------------------------------------------------

    def wait_for_address(self) -> str:
        """The address to connect to, as soon as the task has one. Raises ``StartError`` as soon as it never will."""
        if through_sessions(self._cfg):
            return self._wait_for_agent()
        news = self.watch.wait(
            lambda: True if self.ending or self.watch.error or interface(self.watch.description) else None,
            self._cfg.startup_timeout_sec,
        )
        self.check_start("address")
        if news is None:
            raise StartTimeout(
                f"the task has no network address after {self._cfg.startup_timeout_sec:.0f} s "
                f"(it is {self.watch.description.get('lastStatus')}): is `startup_timeout_sec` too short?",
                phase="address",
                task_arn=self.arn,
                transient=True,
            )
        return reachable_address(self._cfg, self._aws, self.watch.description)

    def _wait_for_agent(self) -> str:
        def is_decided() -> bool:
            return bool(self.ending or self.watch.error or session_address(self.watch.description, self._clock))

        self.watch.wait(lambda: is_decided() or None, self._cfg.startup_timeout_sec)
        self.check_start("address")
        target = session_address(self.watch.description, self._clock)
        if not target:
            state = self.watch.description.get("lastStatus")
            raise StartTimeout(
                f"the SSM agent of the container {self._clock} is not there after {self._cfg.startup_timeout_sec:.0f} s"
                f" (the task is {state}): does its subnet have a way to ssmmessages, and its task role the four "
                "ssmmessages actions of docs/aws.md?",
                phase="address",
                task_arn=self.arn,
                transient=True,
            )
        return target

    def check_start(self, phase: str) -> None:
        """Raise ``StartError`` if the task is ending, or if ECS does not tell us about it."""
        if self.ending:
            raise self._end().start_error(phase)
        if self.watch.error:
            raise StartError(
                f"the task cannot be watched: {self.watch.error}",
                phase=phase,
                reason=str(self.watch.error),
                task_arn=self.arn,
            ) from self.watch.error

    def check_patience(self, phase: str, container: str, complaint: Callable[[], str]) -> None:
        """Raise ``StartTimeout`` if the phase had its time: counted from when its container ran, or from the launch."""
        since = self.watch.running_since(container)
        patience = self._cfg.startup_timeout_sec if since is None else self._patience_sec
        if time.monotonic() <= (since or self._began) + patience:
            return
        state = "has been running" if since else "is not running"
        raise StartTimeout(
            f"{complaint()}\nits container {container} {state} after {patience:.0f} s",
            phase=phase,
            log_tail=self.logs(),
            task_arn=self.arn,
            transient=True,
        )

    # --- while it runs --------------------------------------------------------------------------------------------

    def ask(self, within: float = 0.0) -> None:
        """Have ECS describe it now, or not earlier than ``within`` seconds ago. Raises ``AwsError``."""
        self._poller.ask_now(self.watch, within)

    def loss(self, seconds: float = 0.0) -> SandboxLost | None:
        """How the task died, if ECS says so within ``seconds``; asks at least once."""
        deadline = time.monotonic() + seconds
        rests = pauses(0.05, 0.5)
        while True:
            self._ask_calmly(within=_THIS_MOMENT_SEC)
            if self.ending:
                return self._end().lost()
            if time.monotonic() >= deadline:
                return None
            time.sleep(next(rests))

    def logs(self) -> str:
        return container_logs(self.watch.description, aws=self._aws, registration=self._registered())

    def _end(self) -> Diagnosis:
        """Wait a moment for exit codes, then say why it ended."""
        deadline = time.monotonic() + _LAST_WORDS_SEC
        for pause in pauses(0.05, 0.5):
            if self.watch.over or time.monotonic() >= deadline:
                break
            time.sleep(pause)
            self._ask_calmly(within=_MEANWHILE_SEC)
        return Diagnosis.of(self.watch.description, aws=self._aws, registration=self._registered(), clock=self._clock)

    def _registered(self) -> Mapping[str, Any]:
        if self._registration is None:
            try:
                self._registration = definition_of(self._aws, self.watch.description)
            except AwsError:  # what is told of an end does without
                return {}
        return self._registration

    def _ask_calmly(self, within: float = 0.0) -> None:
        try:
            self.ask(within)
        except AwsError:
            pass  # the poller has told

    def verdict(self) -> str:
        """What is known of the task where its end is not."""
        if self._poller.answered:
            return f"ECS says that the task {self.arn} is alive."
        return f"ECS cannot be asked whether the task {self.arn} is alive."

    # --- its end --------------------------------------------------------------------------------------------------

    def unwatch(self) -> None:
        self._poller.forget(self.watch)

    def stop(self, reason: str = STOPPED_BY_OWNER) -> bool:
        """Ask ECS to stop it, without waiting; whether it is stopped, or was gone. Never raises ``AwsError``."""
        self.unwatch()
        if self.watch.over:
            return True
        return stop_task(self._aws, self._cfg.cluster, self.arn, reason, launched=self._launched)


def launch_sec(task: Mapping[str, Any]) -> float | None:
    """By ECS's own clock, from its description; ``launchSec`` is what is left of that where it had to be JSON."""
    created, started = task.get("createdAt"), task.get("startedAt")
    took = task.get("launchSec") if created is None or started is None else (started - created).total_seconds()
    return None if took is None else max(0.0, float(took))

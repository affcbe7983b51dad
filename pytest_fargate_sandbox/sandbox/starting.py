"""One start: from a configuration to a task that takes commands, phase by phase, each timed.

What can fail for a passing reason is tried again with a new task; everything else ends the start at once. Whatever ends
it, the task is gone afterwards.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves import tracing
from pytest_fargate_sandbox.leaves.errors import StartError, TransportError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, TAG_EXPIRES, TAG_OWNER, TAG_RUN, TAG_TASK, Cause
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.log_groups import ensure_log_group
from pytest_fargate_sandbox.sandbox.endpoints import Routes
from pytest_fargate_sandbox.sandbox.lifeline import Lifeline
from pytest_fargate_sandbox.sandbox.main_image import resolve_image
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_of
from pytest_fargate_sandbox.sandbox.task import registration as registrations
from pytest_fargate_sandbox.sandbox.task.causes import judge_reason
from pytest_fargate_sandbox.sandbox.task.launch import Attempts, lost_engine, run_request, run_task
from pytest_fargate_sandbox.sandbox.task.launched_task import LaunchedTask
from pytest_fargate_sandbox.sandbox.task.task_definition import Plan, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.sandbox.connection import Connection
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.modes.mode import Mode
    from pytest_fargate_sandbox.sandbox.task.launched_ahead import LaunchedAhead

_RETRIES_WITHOUT_NETWORK = 1
_LONGEST_PAUSE_SEC = 20.0
_WORTH_TELLING_SEC = 0.05


@dataclass(frozen=True)
class Started:
    """A task that takes commands, and all it takes to reach it."""

    task: LaunchedTask
    connection: Connection
    lifeline: Lifeline
    keyring: Keyring
    routes: Routes
    mode: Mode
    bucket_is_away: threading.Event = field(default_factory=threading.Event)
    """Set once it could not fetch from S3: it is not to wait for that again with every file."""


@dataclass
class Start:
    """What somebody wants started, for whom, and who is to be told. Runs once.

    ``phases`` fills up as it goes: seconds by name, in order.
    """

    cfg: EcsFargateConfig
    aws: Aws
    task_id: str
    run_id: str
    owner: str
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[OutsideEndpoint, ...] = ()
    force_build: bool = False
    record: Callable[..., None] = lambda _event, **_facts: None
    """Told of each step before it is taken: ``record("launching", token=…)``."""
    pace: Callable[[], None] = lambda: None
    """Called before each RunTask: it may wait, so that many processes together stay within the account's rate."""
    may_wait: Callable[[StartError], bool] = lambda _failure: False
    """Asked where a launch is refused for good: whether ``pace`` will wait until it is not."""
    secret: bytes | None = field(default=None, repr=False)
    """What the keyring is derived from, where another process may take the task over."""
    launched_ahead: LaunchedAhead | None = None
    """A task that ``launch_ahead`` made with the same secret, for the first attempt."""
    phases: dict[str, float] = field(default_factory=dict)
    image: str = ""

    def __post_init__(self) -> None:
        self._mode = mode_of(self.cfg)
        self.keyed_as = self.launched_ahead.launched_as if self.launched_ahead else self.task_id

    def run(self) -> Started:
        plan, keyring, routes = self._prepare()
        attempts = Attempts(self.cfg.run_task_max_retries)
        rests = pauses(0.2, _LONGEST_PAUSE_SEC)
        without_network = 0
        while True:
            ahead, self.launched_ahead = self.launched_ahead, None
            try:
                return self._attempt(plan, keyring, routes, attempts, ahead)
            except StartError as error:
                # What has used up its patience (cause unknown) has had minutes; another round would have as many. And
                # where an engine was lost, another is to be found first.
                if error.transient and error.cause in (Cause.UNKNOWN, Cause.ENGINE_LOST):
                    raise
                # A task that has no way to its image takes minutes to say so, and the next one has none either.
                without_network += error.cause == Cause.NETWORK
                if without_network > _RETRIES_WITHOUT_NETWORK:
                    raise
                # Whatever one that was launched ahead died of, nobody has had it, and this is no attempt of ours.
                if ahead.settles(error) if ahead else not (error.transient and attempts.take()):
                    raise
            if not ahead:
                time.sleep(next(rests))

    def launch_ahead(self) -> str:
        """RunTask and no more: the ARN of a task that a later start takes over, here or in another process."""
        plan, _, _ = self._prepare()
        with self._phase("launch"):
            task_arn = str(self._launch(plan, Attempts(self.cfg.run_task_max_retries))["taskArn"])
        self.record("launched", task_arn=task_arn, image=self.image)
        return task_arn

    def _prepare(self) -> tuple[Plan, Keyring, Routes]:
        mode, task_id = self._mode, self.task_id
        routes = Routes(self.endpoints, taken_ports=mode.taken_ports(self.cfg))
        with self._phase("image"):
            base = self._base()
            self.image = resolve_image(self.cfg, self.aws, task_id, base, force_build=self.force_build)
        with self._phase("definition"):
            if self.cfg.log_group and self.cfg.cluster != LOCAL_CLUSTER:  # the engine makes its own
                ensure_log_group(self.aws, self.cfg.log_group)
            keyring = mode.make_keyring(self.cfg, self.aws, task_id=self.keyed_as, secret=self.secret)
            plan = make_plan(
                mode.with_own_images(self.cfg, self.aws),
                image=self.image,
                base=base,
                region=self.aws.region,
                task_id=task_id,
                keyring=keyring,
                routes=routes,
            )
        return plan, keyring, routes

    def _base(self) -> dict[str, Any] | None:
        cfg = self.cfg
        if not cfg.task_definition:
            return None
        is_enough = bool(cfg.execution_role_arn and (cfg.image_template or cfg.environment_dir))
        return registrations.base_definition(self.aws, cfg.task_definition, or_none=is_enough)

    def _attempt(
        self, plan: Plan, keyring: Keyring, routes: Routes, attempts: Attempts, ahead: LaunchedAhead | None
    ) -> Started:
        with self._phase("launch"):
            description = dict(ahead.task) if ahead else self._launch(plan, attempts)
        task = _watched(description, self._mode, self.cfg, self.aws, plan.registration)
        self.record("launched", task_arn=task.arn, image=self.image)
        try:
            connection = self._connect(task, keyring, routes)
        except BaseException as error:
            cause = error.cause if isinstance(error, StartError) else ""
            if task.stop("its start failed"):
                self.record("stopped", task_arn=task.arn, cause=cause)
            raise
        return Started(task, connection, Lifeline(task, connection), keyring, routes, self._mode)

    def _launch(self, plan: Plan, attempts: Attempts) -> dict[str, Any]:
        try:
            return self._run_task(plan, attempts)
        except StartError as error:
            refusal = error.__cause__
            if not (isinstance(refusal, AwsError) and registrations.is_unknown(refusal)):
                raise
        # What we noted as registered is not any more: somebody has tidied up.
        registrations.forget(self.aws, plan.registration["family"])
        return self._run_task(plan, attempts)

    def _run_task(self, plan: Plan, attempts: Attempts) -> dict[str, Any]:
        request = run_request(
            self.cfg,
            task_definition=(
                plan.registration["taskDefinitionArn"]
                if plan.commands
                else registrations.registered(self.aws, plan.registration, self.owner)
            ),
            overrides=plan.overrides,
            commands=plan.commands,
            tags=self._tags(),
            owner=self.owner,
        )

        def before_each(token: str) -> None:
            self._wait_for_turn()
            self.record("launching", token=token)

        def after_refusal(failure: StartError) -> None:
            self.record("refused", refusal=failure.reason)

        try:
            return run_task(
                self.aws,
                request,
                attempts,
                patience_sec=self.cfg.startup_timeout_sec,
                before_each=before_each,
                after_refusal=after_refusal,
                may_wait=self.may_wait,
            )
        except StartError as failure:
            self.record("given_up", refusal=failure.reason)
            raise

    def _wait_for_turn(self) -> None:
        """What is waited for others is no part of the launch."""
        began = time.monotonic()
        self.pace()
        waited = time.monotonic() - began
        if waited < _WORTH_TELLING_SEC:
            return
        for name, seconds in (("waited", waited), ("launch", -waited)):
            self.phases[name] = round(self.phases.get(name, 0.0) + seconds, 4)

    def _tags(self) -> dict[str, str]:
        return {
            TAG_OWNER: self.owner,
            TAG_RUN: self.run_id,
            TAG_TASK: self.task_id,
            TAG_EXPIRES: str(int(time.time() + self.cfg.max_task_lifetime_sec)),
            **self.labels,
        }

    def _connect(self, task: LaunchedTask, keyring: Keyring, routes: Routes) -> Connection:
        with self._phase("address"):
            host = task.wait_for_address()
        connection = self._mode.connection(self.cfg, self.aws, host, keyring, routes)
        try:
            with self._phase("tunnel"):
                connection.open(lambda: _check(task, "tunnel", connection.door.container, connection.door.why_closed))
            with self._phase("server"):
                self._wait_for_server(task, connection)
                self._mode.settle_in(
                    connection,
                    self.cfg,
                    task_id=self.task_id,
                    task_ip=task.private_address,
                    routes=routes,
                )
        except TransportError as error:
            connection.close()
            phase = next(reversed(self.phases))
            task.loss()  # asks ECS: mostly the way broke because the task did not live
            task.check_start(phase)
            raise StartError(str(error), phase=phase, reason=str(error), task_arn=task.arn, transient=True) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _wait_for_server(self, task: LaunchedTask, connection: Connection) -> None:
        main = self.cfg.container_name
        complaint = f"nothing answers at port {connection.inner_port} in the task"
        # The patience of each part ends sooner, and says more.
        longest = self.cfg.startup_timeout_sec + self._mode.patience_sec(self.cfg) + 60.0
        connection.wait_ready(longest, lambda: _check(task, "server", main, lambda: complaint))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Time it, add it up over attempts, and make AWS's refusals errors of this phase."""
        began = time.monotonic()
        self.record("phase", name=name)
        try:
            with tracing.span(f"sandbox {name}", fargate__task_id=self.task_id, fargate__phase=name):
                yield
        except AwsError as error:
            if error.gone:
                raise lost_engine(error, name) from error
            cause = judge_reason(error.reason).cause
            raise StartError(
                str(error), phase=name, cause=cause, reason=error.reason, transient=error.transient
            ) from error
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.monotonic() - began, 4)


def enter(cfg: EcsFargateConfig, aws: Aws, *, task_arn: str, host: str, keyring: Keyring) -> Started:
    """Connect to a task that was launched before. Raises ``StartError`` if it is gone or can't be reached."""
    mode = mode_of(cfg)
    task = _watched({"taskArn": task_arn}, mode, cfg, aws, registration=None)
    try:
        task.ask()
        if not task.is_known:
            raise StartError(
                f"there is no task {task_arn} any more (it was at {host})", phase="address", task_arn=task_arn
            )
        connection = mode.connection(cfg, aws, host, keyring, Routes())
        connection.open(lambda: _check(task, "tunnel", connection.door.container, connection.door.why_closed))
    except BaseException:
        task.unwatch()
        raise
    return Started(task, connection, Lifeline(task, connection), keyring, Routes(), mode)


def _watched(
    description: dict[str, Any], mode: Mode, cfg: EcsFargateConfig, aws: Aws, registration: Mapping[str, Any] | None
) -> LaunchedTask:
    clock, patience = mode.clock(cfg), mode.patience_sec(cfg)
    return LaunchedTask(description, cfg=cfg, aws=aws, registration=registration, clock=clock, patience_sec=patience)


def _check(task: LaunchedTask, phase: str, container: str, complaint: Callable[[], str]) -> None:
    """While something is waited for: raise ``StartError`` where it will not come, or has had its time."""
    task.check_start(phase)
    task.check_patience(phase, container, complaint)

"""One start: from a configuration to a task that takes commands, phase by phase, each timed.

What can fail for a passing reason is tried again with a new task; everything else ends the start at once. Whatever ends
it, the task is gone afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import StartError, TransportError
from pytest_fargate_sandbox.leaves.names import SIDECAR_CONTAINER, TAG_EXPIRES, TAG_OWNER, TAG_RUN, TAG_TASK, Cause
from pytest_fargate_sandbox.leaves.waiting import pauses, wait_until
from pytest_fargate_sandbox.providers.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox import registration as registrations
from pytest_fargate_sandbox.sandbox.causes import judge_reason
from pytest_fargate_sandbox.sandbox.connection import Connection
from pytest_fargate_sandbox.sandbox.endpoints import Routes
from pytest_fargate_sandbox.sandbox.environment import filled_in, host_name
from pytest_fargate_sandbox.sandbox.images import resolve_image, with_sidecar_image
from pytest_fargate_sandbox.sandbox.keyring import Keyring, make_keyring
from pytest_fargate_sandbox.sandbox.launch import Attempts, run_request, run_task
from pytest_fargate_sandbox.sandbox.lifeline import Lifeline
from pytest_fargate_sandbox.sandbox.plan import Plan, make_plan
from pytest_fargate_sandbox.sandbox.task import LaunchedTask, why_unreachable
from pytest_fargate_sandbox.sandbox.task_definition import sidecar_of

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws import Aws

Journal = Callable[..., None]
"""Told of each step before it is taken: ``journal("launching", token=…)``. Whoever keeps a ledger listens."""

_LONGEST_PAUSE_SEC = 20.0


@dataclass(frozen=True)
class Request:
    """What somebody wants started, for whom, and who is to be told."""

    cfg: EcsFargateConfig
    aws: Aws
    task_id: str
    run_id: str
    owner: str
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[OutsideEndpoint, ...] = ()
    force_build: bool = False
    journal: Journal = lambda _event, **_facts: None
    pace: Callable[[], None] = lambda: None
    """Called before each RunTask: it may wait, so that many processes together stay within the account's rate."""
    secret: bytes | None = None
    """What the keyring is derived from, where another process may take the task over."""
    launched_ahead: Mapping[str, Any] | None = None
    """What is known of a task that ``launch_ahead`` made for the same id and secret: its ``taskArn`` at least."""


@dataclass(frozen=True)
class Started:
    """A task that takes commands, and all it takes to reach it."""

    task: LaunchedTask
    connection: Connection
    lifeline: Lifeline
    keyring: Keyring
    routes: Routes


class Start:
    """Runs once. ``phases`` fills up as it goes: seconds by name, in order."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._cfg = request.cfg
        self._aws = request.aws
        self._launched_ahead = request.launched_ahead
        self.phases: dict[str, float] = {}
        self.image = ""

    def run(self) -> Started:
        plan, keyring, routes = self._prepare()
        attempts = Attempts(self._cfg.run_task_max_retries)
        for pause in pauses(0.2, _LONGEST_PAUSE_SEC):
            try:
                return self._attempt(plan, keyring, routes, attempts)
            except StartError as error:
                # What has used up its patience (cause unknown) has had minutes; another round would have as many.
                if not error.transient or error.cause == Cause.UNKNOWN or not attempts.take():
                    raise
            time.sleep(pause)
        raise AssertionError("pauses() never ends")

    def launch_ahead(self) -> str:
        """RunTask and no more: the ARN of a task that a later start takes over, here or in another process."""
        plan, _, _ = self._prepare()
        with self._phase("launch"):
            task_arn = str(self._launch(plan, Attempts(self._cfg.run_task_max_retries))["taskArn"])
        self._request.journal("launched", task_arn=task_arn, image=self.image)
        return task_arn

    def _prepare(self) -> tuple[Plan, Keyring, Routes]:
        sidecar = sidecar_of(self._cfg)
        routes = Routes(self._request.endpoints, taken_ports=_ports(self._cfg))
        with self._phase("image"):
            base = self._base()
            self.image = resolve_image(
                self._cfg, self._aws, self._request.task_id, base, force_build=self._request.force_build
            )
        with self._phase("definition"):
            keyring = make_keyring(sidecar, self._aws, task_id=self._request.task_id, secret=self._request.secret)
            plan = make_plan(
                with_sidecar_image(self._cfg, self._aws),
                image=self.image,
                base=base,
                region=self._aws.region,
                task_id=self._request.task_id,
                keyring=keyring,
                routes=routes,
            )
        return plan, keyring, routes

    def _base(self) -> dict[str, Any] | None:
        name = self._cfg.task_definition
        return registrations.base_definition(self._aws, name) if name else None

    def _attempt(self, plan: Plan, keyring: Keyring, routes: Routes, attempts: Attempts) -> Started:
        with self._phase("launch"):
            description = self._take_over() or self._launch(plan, attempts)
        task = LaunchedTask(description, cfg=self._cfg, aws=self._aws, registration=plan.registration)
        self._request.journal("launched", task_arn=task.arn, image=self.image)
        try:
            connection = self._connect(task, keyring, routes)
        except BaseException as error:
            cause = error.cause if isinstance(error, StartError) else ""
            if task.stop("its start failed"):
                self._request.journal("stopped", task_arn=task.arn, cause=cause)
            raise
        return Started(task, connection, Lifeline(task, connection), keyring, routes)

    def _take_over(self) -> dict[str, Any] | None:
        """The task that was launched ahead, for the first attempt; if it dies, the next one launches its own."""
        task, self._launched_ahead = self._launched_ahead, None
        return dict(task) if task else None

    def _launch(self, plan: Plan, attempts: Attempts) -> dict[str, Any]:
        try:
            return self._run_task(plan, attempts)
        except StartError as error:
            refusal = error.__cause__
            if not (isinstance(refusal, AwsError) and registrations.is_unknown(refusal)):
                raise
        # What we noted as registered is not any more: somebody has tidied up.
        registrations.forget(self._aws, plan.registration["family"])
        return self._run_task(plan, attempts)

    def _run_task(self, plan: Plan, attempts: Attempts) -> dict[str, Any]:
        request = run_request(
            self._cfg,
            task_definition=registrations.registered(self._aws, plan.registration),
            overrides=plan.overrides,
            tags=self._tags(),
            owner=self._request.owner,
        )

        def before_each(token: str) -> None:
            self._request.pace()
            self._request.journal("launching", token=token)

        return run_task(self._aws, request, attempts, before_each=before_each)

    def _tags(self) -> dict[str, str]:
        return {
            TAG_OWNER: self._request.owner,
            TAG_RUN: self._request.run_id,
            TAG_TASK: self._request.task_id,
            TAG_EXPIRES: str(int(time.time() + self._cfg.max_task_lifetime_sec)),
            **self._request.labels,
        }

    def _connect(self, task: LaunchedTask, keyring: Keyring, routes: Routes) -> Connection:
        with self._phase("address"):
            host = task.wait_for_address()
        sidecar = sidecar_of(self._cfg)
        connection = Connection(host, sidecar, keyring, routes=routes, container_port=self._cfg.container_port)
        try:
            with self._phase("tunnel"):
                connection.open(lambda: self._check_tunnel(task, host, sidecar.sshd_port))
            with self._phase("server"):
                self._wait_for_server(task, connection)
                self._configure(task, connection, routes)
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

    def _check_tunnel(self, task: LaunchedTask, host: str, port: int) -> None:
        task.check_start("tunnel")
        task.check_patience(
            "tunnel", SIDECAR_CONTAINER, lambda: f"no SSH connection to the task: {why_unreachable(host, port)}"
        )

    def _wait_for_server(self, task: LaunchedTask, connection: Connection) -> None:
        main, port = self._cfg.container_name, connection.inner_port

        def still_alive() -> None:
            task.check_start("server")
            task.check_patience("server", main, lambda: f"nothing answers at port {port} in the task")

        if connection.exec_client:
            connection.exec_client.wait_ready(self._longest_wait, still_alive)
            return

        def probe() -> bool | None:
            still_alive()
            return connection.takes_connections() or None

        wait_until(probe, deadline=self._longest_wait, what=f"a connection to port {port} of the task")

    @property
    def _longest_wait(self) -> float:
        """Patience ends sooner and says more."""
        return self._cfg.startup_timeout_sec + sidecar_of(self._cfg).ssh_ready_timeout_sec + 60.0

    def _configure(self, task: LaunchedTask, connection: Connection, routes: Routes) -> None:
        """Exec-server mode: what commands see goes over the tunnel, where it has no limit and nobody else reads it."""
        if connection.exec_client is None:
            return
        task_id = self._request.task_id
        environment = filled_in(self._cfg.extra_env, task_id=task_id, task_ip=task.private_address, routes=routes)
        connection.exec_client.configure({"HOSTNAME": host_name(task_id), **environment})

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Time it, add it up over attempts, and make AWS's refusals errors of this phase."""
        began = time.monotonic()
        self._request.journal("phase", name=name)
        try:
            yield
        except AwsError as error:
            cause = judge_reason(error.reason).cause
            raise StartError(
                str(error), phase=name, cause=cause, reason=error.reason, transient=error.transient
            ) from error
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.monotonic() - began, 4)


def enter(cfg: EcsFargateConfig, aws: Aws, *, task_arn: str, host: str, keyring: Keyring) -> Started:
    """Connect to a task that was launched before. Raises ``StartError`` if it is gone or can't be reached."""
    task = LaunchedTask({"taskArn": task_arn}, cfg=cfg, aws=aws, registration={})
    try:
        task.ask()
        if not task.is_known:
            raise StartError(f"there is no task {task_arn} any more", phase="address", task_arn=task_arn)
        connection = Connection(host, sidecar_of(cfg), keyring, routes=Routes(), container_port=cfg.container_port)
        connection.open(lambda: task.check_start("tunnel"))
    except BaseException:
        task.unwatch()
        raise
    return Started(task, connection, Lifeline(task, connection), keyring, Routes())


def _ports(cfg: EcsFargateConfig) -> list[int]:
    sidecar = sidecar_of(cfg)
    return [port for port in (sidecar.sshd_port, sidecar.exec_server_port, cfg.container_port) if port is not None]

"""A machine: one task on Fargate, or on anything that speaks ECS, from its launch to its end.

It is given its ``Place``, a ``Recorder`` that writes its life down, and an ``Admission`` that lets it launch. Commands
and files are its workspaces' business.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_fargate_sandbox.leaves.errors import Cancelled, ConfigError, SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.plain_values import wrong
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.endpoints import endpoints_of
from pytest_fargate_sandbox.sandbox.exec.cancelling import GIVEN_UP, cancelled_by, ended_by
from pytest_fargate_sandbox.sandbox.machine_ties import Admission, Recorder
from pytest_fargate_sandbox.sandbox.starting import Start, Started, enter
from pytest_fargate_sandbox.sandbox.task.addresses import through_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import Endpoint, OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.lifeline import Lifeline
    from pytest_fargate_sandbox.sandbox.task.launched_ahead import LaunchedAhead

T = TypeVar("T")

_log = logging.getLogger("pytest_fargate_sandbox.machine")
_NEWS = {
    "launched": "is task {task_arn} of image {image}",
    "refused": "was refused by ECS: {refusal}",
    "ready": "is ready after {seconds:.2f} s",
    "stopped": "is stopped: {cause}",
}
"""What the log says, at INFO, of the steps that a user may want to follow."""

_DESCRIBED = ("taskArn", "lastStatus", "desiredStatus", "stopCode", "stoppedReason")


class Place(Protocol):
    """Where machines are: what a configuration amounts to there, the account, and whose tasks they are."""

    @property
    def cfg(self) -> EcsFargateConfig: ...

    @property
    def aws(self) -> Aws: ...

    @property
    def owner(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What somebody else needs to find the place again."""


class Machine:
    """``start`` launches the task, ``stop`` ends it; ``detach`` lets go of it, ``enter`` takes hold of one that runs.

    ``phases`` tells how long each phase of the start took, ``image`` what runs, ``cause`` why the task ended where it
    ended by itself.
    """

    def __init__(
        self,
        cfg: EcsFargateConfig,
        *,
        task_id: str,
        run_id: str,
        find_place: Callable[[EcsFargateConfig], Place],
        recorder: Recorder | None = None,
        admission: Admission | None = None,
        labels: Mapping[str, str] | None = None,
        secret: bytes | None = None,
    ) -> None:
        """``secret`` is what the keys are derived from, where another process may take the task over."""
        self.task_id = task_id
        self.run_id = run_id
        self.labels = dict(labels or {})
        self.phases: dict[str, float] = {}
        self.image = ""
        self.keyed_as = task_id
        """The id that its keys are derived from: that of the machine that launched its task."""
        self.place: Place | None = None
        """Known from the first start on."""
        self._asked_cfg = cfg
        self._find_place = find_place
        self._recorder = recorder or Recorder()
        self._admission = admission or Admission()
        self._secret = secret
        self._ahead: LaunchedAhead | None = None
        self._started: Started | None = None
        self._lifeline: Lifeline | None = None
        self._start_cause = ""
        self._cancel: threading.Event | None = None
        self._launching = ""
        """The task of the start that is under way."""
        self._life = threading.RLock()

    # --- its life -------------------------------------------------------------------------------------------------

    def start(
        self,
        *,
        force_build: bool = False,
        outside_endpoints: Iterable[OutsideEndpoint] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Launch a task; return when it takes commands. Raises ``ConfigError``, ``ImageBuildError``, ``StartError``.

        When another thread sets ``cancel``, the task is stopped, if there is one, and this raises ``Cancelled``.
        """
        with self._life:
            if self._started is None:
                endpoints = endpoints_of(outside_endpoints)
                self._cancel, self._launching = cancel, ""
                with ended_by(cancel, self._stop_launching), cancelled_by(cancel):
                    self._started = _though_engines_end(lambda: self._run(self._begin(force_build, endpoints)))
                self._record("ready", phases=dict(self.phases))

    def launch_ahead(self, outside_endpoints: Iterable[OutsideEndpoint] = ()) -> str:
        """Ask for the task and return its ARN; a machine with the same id and secret, anywhere, can ``take_over``."""
        with self._life:
            arn = _though_engines_end(lambda: self._begin(False, tuple(outside_endpoints)).launch_ahead())
        self._recorder.let_go(arn)
        return arn

    def take_over(self, ahead: LaunchedAhead) -> None:
        """Have ``start`` connect to a task that was launched ahead with the same secret, instead of launching one."""
        self._ahead = ahead

    def enter(self, place: Place, *, task_arn: str, host: str, keyring: Keyring, image: str) -> None:
        """Become the machine of a task that somebody launched before. Raises ``StartError`` if it is gone."""
        self.place, self.image = place, image
        self._started = self._held(enter(place.cfg, place.aws, task_arn=task_arn, host=host, keyring=keyring))

    def stop(self) -> None:
        """End the task. It is asked to stop, and not waited for. What cannot be stopped is logged, never raised."""
        started = self._leave()
        if started is None:
            return
        if started.task.stop():
            self._record("stopped", task_arn=started.task.arn, cause=self.cause)
        started.connection.close()
        self._recorder.let_go(started.task.arn)

    def detach(self) -> None:
        """Let go of the task without ending it: it lives until its time to live is over."""
        started = self._leave()
        if started is not None:
            started.task.unwatch()
            started.connection.close()
            self._recorder.let_go(started.task.arn)

    @property
    def cause(self) -> str:
        """Why the task ended, or did not start: one of ``names.Cause``; empty until somebody met with that."""
        return self._lifeline.cause if self._lifeline else self._start_cause

    @property
    def launch_sec(self) -> float | None:
        """How long its task took to run, whoever waited for it meanwhile; None where ECS has not told yet."""
        return self._started.task.launch_sec if self._started else None

    @property
    def is_running(self) -> bool:
        started = self._started
        return started is not None and not started.task.ending

    def __repr__(self) -> str:
        return f"<sandbox {self.task_id}: {self.task_arn or 'not running'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # --- ways in and out ------------------------------------------------------------------------------------------

    def resolve_outside_endpoint(self, url: str) -> str:
        """The URL at which processes in the sandbox reach what ``url`` is on our side."""
        if not isinstance(url, str):
            raise wrong("url", url, "the URL of an outside endpoint")
        return self.running().routes.resolve(url)

    @property
    def model_tunnel_port(self) -> int | None:
        """The sandbox's own port for the first outside endpoint; None without any."""
        ports = self._started.routes.inner_ports if self._started else []
        return ports[0] if ports else None

    @property
    def ssh_tunnel(self) -> SshTunnel | None:
        """None where there is no SSH in the way."""
        from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel

        tunnel = self._started.connection.tunnel if self._started else None
        return tunnel if isinstance(tunnel, SshTunnel) else None

    @property
    def exec_client(self) -> ExecClient | None:
        return self._started.connection.exec_client if self._started else None

    @property
    def local_port(self) -> int | None:
        """A port on our loopback that leads to the exec server, or to the agent's ``container_port``.

        None before ``start`` and after ``stop``.
        """
        started = self._started
        return started.lifeline.through(lambda: started.connection.local_port) if started else None

    def expose(self, port: int) -> Endpoint:
        """A host and a port here that lead to ``port`` on the sandbox's loopback, in every mode, until it stops.

        Asked again it is the same one. What listens there may begin to later; until then connections are reset. It is
        on our loopback, which every user of this machine can reach.
        """
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            raise ConfigError(f"expose({port!r}): expected a port, 1 to 65535", key="port", value=port)
        started = self.running()
        return started.lifeline.through(lambda: started.connection.expose(port))

    def reconnect_tunnel(self) -> None:
        """Connect again, whatever the state of the tunnel. Only one does at a time."""
        started = self.running()
        started.lifeline.through(started.connection.tunnel.reconnect)

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def cfg(self) -> EcsFargateConfig:
        """As it was asked for; from the first start on, as it is at the place that was found."""
        return self.place.cfg if self.place else self._asked_cfg

    @property
    def aws(self) -> Aws:
        """The account, as the configuration names it, or as the place has it."""
        if self.place:
            return self.place.aws
        from pytest_fargate_sandbox.providers.aws.aws import connect

        return connect(region=self._asked_cfg.region, endpoint_url=self._asked_cfg.endpoint_url)

    @property
    def owner(self) -> str:
        return self.place.owner if self.place else self._asked_cfg.owner or ""

    @property
    def task_arn(self) -> str | None:
        return self._started.task.arn if self._started else None

    @property
    def task_ip(self) -> str | None:
        """The address that we connect to; by the Session Manager there is none, and it is the task's private one."""
        started = self._started
        if started is None:
            return None
        return started.task.private_address if through_sessions(self.cfg) else started.connection.host

    def describe_task(self) -> dict[str, Any] | None:
        """What ECS says about the task now; None where there is none."""
        started = self._started
        if started is None:
            return None
        started.task.ask()
        description = started.task.watch.description
        return {key: description.get(key) for key in _DESCRIBED}

    def logs(self) -> str:
        """The end of the containers' output, where ``log_group`` is set."""
        return self.running().task.logs()

    # --- for its workspaces -----------------------------------------------------------------------------------------

    def running(self) -> Started:
        """The task and the ways into it; ``SandboxError`` where there is none."""
        started = self._started
        if started is None:
            raise SandboxError("the sandbox is not running: start() launches a task for it, after a stop() another one")
        return started

    # --- inside ---------------------------------------------------------------------------------------------------

    def _begin(self, force_build: bool, endpoints: tuple[OutsideEndpoint, ...]) -> Start:
        place = self.place = self._find_place(self._asked_cfg)
        ahead, self._ahead = self._ahead, None
        self.labels.update(self._recorder.open(self, place, ahead.task if ahead else None))
        return Start(
            cfg=place.cfg,
            aws=place.aws,
            task_id=self.task_id,
            run_id=self.run_id,
            owner=place.owner,
            labels=self.labels,
            endpoints=endpoints,
            force_build=force_build,
            record=self._step,
            pace=self._admission.admit,
            may_wait=self._admission.refused,
            secret=self._secret,
            launched_ahead=ahead,
        )

    def _step(self, event: str, **facts: Any) -> None:
        """Of a start; where that was given up, the step is not taken."""
        if event in ("phase", "launching") and self._cancel and self._cancel.is_set():
            raise Cancelled(GIVEN_UP)
        self._record(event, **facts)
        self._launching = facts["task_arn"] if event == "launched" else self._launching

    def _stop_launching(self) -> None:
        """The task of a start that was given up; what waits for it hears of its end."""
        arn, self._launching = self._launching, ""
        if arn:
            with suppress(AwsError):
                self.aws.call("ecs", "StopTask", cluster=self.cfg.cluster, task=arn, reason=GIVEN_UP)

    def _run(self, start: Start) -> Started:
        self.phases, self._start_cause, self._lifeline = start.phases, "", None
        try:
            started = start.run()
        except StartError as error:
            self._start_cause = error.cause
            raise
        finally:
            self.image = start.image
        self.keyed_as = start.keyed_as
        return self._held(started)

    def _held(self, started: Started) -> Started:
        started.task.watch.settle()
        started.task.watch.on_ending(started.connection.tunnel.close)
        self._lifeline = started.lifeline
        return started

    def _leave(self) -> Started | None:
        with self._life:
            started, self._started = self._started, None
        return started

    def _record(self, event: str, **facts: Any) -> None:
        """Written down first, then counted: by its ARN, once there is one."""
        self._recorder.record(event, **facts)
        if event in _NEWS:
            _log.info(
                "%s: %s", self.task_id, _NEWS[event].format(**facts, seconds=sum(self.phases.values())).rstrip(" :")
            )
        if event == "launched":
            self._admission.launched(facts["task_arn"])
        elif event == "stopped":
            self._admission.over()


def _though_engines_end(start: Callable[[], T]) -> T:
    """What ``start`` returns, which finds its place anew: again where an engine ended under it, twice at most."""
    for _ in range(2):
        try:
            return start()
        except StartError as error:  # noqa: PERF203
            if error.cause != Cause.ENGINE_LOST:
                raise
    return start()

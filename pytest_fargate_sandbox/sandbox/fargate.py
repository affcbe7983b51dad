"""``FargateSandbox``: a task on Fargate, or on anything that speaks ECS, as a local object."""

from __future__ import annotations

import threading
from collections import deque
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pytest_fargate_sandbox.leaves.errors import SandboxError, StartError
from pytest_fargate_sandbox.sandbox.background import BackgroundProcess
from pytest_fargate_sandbox.sandbox.starting import Journal, Request, Start, Started, enter
from pytest_fargate_sandbox.sandbox.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike
    from types import TracebackType

    from typing_extensions import Self

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import ExecResult, OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws import Aws
    from pytest_fargate_sandbox.providers.ssh import SshTunnel
    from pytest_fargate_sandbox.sandbox.exec_client import ExecClient, OutputChunk
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.lifeline import Lifeline

T = TypeVar("T")

_REMEMBERED_COMMANDS = 10
_DESCRIBED = ("taskArn", "lastStatus", "desiredStatus", "stopCode", "stoppedReason")


class FargateSandbox:
    """One task: ``start`` launches it, ``stop`` ends it, and in between it takes commands and files.

    In exec-server mode commands and files work. In agent-server mode the image's own command runs, ``local_port``
    leads to its ``container_port``, and commands raise ``ConfigError``.

    ``phases`` tells how long each phase of the start took, ``image`` what runs, ``cause`` why the task ended where it
    ended by itself, ``history`` the last commands.
    """

    def __init__(
        self,
        cfg: EcsFargateConfig,
        *,
        task_id: str,
        run_id: str,
        aws: Aws,
        owner: str,
        labels: Mapping[str, str] | None = None,
        journal: Journal | None = None,
        pace: Callable[[], None] | None = None,
        secret: bytes | None = None,
    ) -> None:
        self.cfg = cfg
        self.task_id = task_id
        self.run_id = run_id
        self.aws = aws
        self.owner = owner
        self.labels = dict(labels or {})
        self.phases: dict[str, float] = {}
        self.image = ""
        self._lifeline: Lifeline | None = None
        self.history: deque[ExecResult] = deque(maxlen=_REMEMBERED_COMMANDS)
        self._journal: Journal = journal or (lambda _event, **_facts: None)
        self._pace = pace or (lambda: None)
        self._secret = secret
        self._launched_ahead: Mapping[str, Any] | None = None
        self._started: Started | None = None
        self._life = threading.RLock()
        self._start_cause = ""

    # --- its life -------------------------------------------------------------------------------------------------

    def start(self, *, force_build: bool = False, outside_endpoints: Iterable[OutsideEndpoint] | None = None) -> None:
        """Launch a task; return when it takes commands. Raises ``ConfigError``, ``ImageBuildError``, ``StartError``."""
        with self._life:
            if self._started is None:
                self._started = self._start(force_build, tuple(outside_endpoints or ()))

    def _start(self, force_build: bool, endpoints: tuple[OutsideEndpoint, ...]) -> Started:
        start = Start(self._request(force_build, endpoints))
        self.phases, self._start_cause, self._lifeline = start.phases, "", None
        try:
            started = start.run()
        except StartError as error:
            self._start_cause = error.cause
            raise
        finally:
            self.image = start.image
        started.task.watch.settle()
        started.task.watch.on_ending(started.connection.tunnel.close)
        self._lifeline = started.lifeline
        self._journal("ready", phases=dict(self.phases))
        return started

    def _request(self, force_build: bool, endpoints: tuple[OutsideEndpoint, ...]) -> Request:
        return Request(
            cfg=self.cfg,
            aws=self.aws,
            task_id=self.task_id,
            run_id=self.run_id,
            owner=self.owner,
            labels=self.labels,
            endpoints=endpoints,
            force_build=force_build,
            journal=self._journal,
            pace=self._pace,
            secret=self._secret,
            launched_ahead=self._launched_ahead,
        )

    def launch_ahead(self) -> str:
        """Ask for the task and return its ARN; a sandbox with the same id and secret, anywhere, can ``take_over``."""
        return Start(self._request(False, ())).launch_ahead()

    def take_over(self, task: Mapping[str, Any]) -> None:
        """Have ``start`` connect to a task that was launched ahead, instead of launching one.

        ``task`` is what ECS says of it: its ``taskArn`` at least; what else is known needs not be asked for.
        """
        self._launched_ahead = task

    def stop(self) -> None:
        """End the task. It is asked to stop, and not waited for. What cannot be stopped is logged, never raised."""
        with self._life:
            started, self._started = self._started, None
        if started is None:
            return
        if started.task.stop():
            self._journal("stopped", task_arn=started.task.arn, cause=self.cause)
        started.connection.close()

    def detach(self) -> None:
        """Let go of the task without ending it: it lives until its time to live is over."""
        with self._life:
            started, self._started = self._started, None
        if started is not None:
            started.task.unwatch()
            started.connection.close()

    @property
    def cause(self) -> str:
        """Why the task ended, or did not start, where somebody met with that; one of ``names.Cause``."""
        return self._lifeline.cause if self._lifeline else self._start_cause

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

    # --- commands -------------------------------------------------------------------------------------------------

    def exec(
        self,
        command: str | Sequence[str],
        timeout_sec: float = 180,
        *,
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        stdin: bytes | str | PathLike[str] | IO[bytes] | None = None,
        check: bool = False,
        on_output: Callable[[OutputChunk], object] | None = None,
        max_output_bytes: int | None = None,
    ) -> ExecResult:
        """Run a command and return how it ended.

        A string is run by the container's shell, a list without one. ``on_output`` is called with each chunk as it
        comes: bytes whose ``stream`` is ``"stdout"`` or ``"stderr"``. After ``timeout_sec`` the command and all its
        children are killed; the result then has ``timed_out`` and the output up to then. ``check`` raises
        ``ExecFailed`` or ``ExecTimeout``.
        """
        lifeline = self._running().lifeline
        result = self._through(
            lambda client: client.exec(
                command,
                timeout=timeout_sec,
                cwd=cwd,
                env=env,
                user=user,
                stdin=stdin,
                on_output=on_output,
                max_output_bytes=max_output_bytes,
            )
        )
        self.history.append(result)
        lifeline.checked(result)
        return result.check() if check else result

    def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
    ) -> BackgroundProcess:
        """Start a command and return a handle on it (poll, wait, read, write, signal, kill)."""
        lifeline = self._running().lifeline
        process = self._through(lambda client: client.spawn(command, cwd=cwd, env=env, user=user))
        return BackgroundProcess(process, lifeline)

    # --- files ----------------------------------------------------------------------------------------------------

    def upload(self, local_path: str | PathLike[str], remote_path: str) -> None:
        """Copy a file or a whole directory into the sandbox; missing parents are made, modes and times are kept."""
        self._through(lambda client: self._transfers.upload(client, local_path, remote_path))

    def download(self, remote_path: str, local_path: str | PathLike[str]) -> None:
        """Copy a file or a whole directory out of the sandbox."""
        self._through(lambda client: self._transfers.download(client, remote_path, local_path))

    def read_file(self, remote_path: str) -> bytes:
        """The content of a file that fits in memory."""
        return self._through(lambda client: client.read_file(remote_path))

    def write_file(self, remote_path: str, data: bytes | str, *, mode: int | None = None) -> None:
        """Make or replace a file."""
        self._through(lambda client: client.write_file(remote_path, data, mode=mode))

    def list_files(self, remote_path: str) -> list[str]:
        """The names in a directory, in order."""
        return self._through(lambda client: client.list_files(remote_path))

    @property
    def _transfers(self) -> Transfers:
        return Transfers(self.cfg, self.aws)

    # --- ways in and out ------------------------------------------------------------------------------------------

    def resolve_outside_endpoint(self, url: str) -> str:
        """The URL at which processes in the sandbox reach what ``url`` is on our side."""
        return self._running().routes.resolve(url)

    @property
    def model_tunnel_port(self) -> int | None:
        """The sandbox's own port for the first outside endpoint; None without any."""
        ports = self._started.routes.inner_ports if self._started else []
        return ports[0] if ports else None

    @property
    def ssh_tunnel(self) -> SshTunnel | None:
        return self._started.connection.tunnel if self._started else None

    @property
    def exec_client(self) -> ExecClient | None:
        return self._started.connection.exec_client if self._started else None

    @property
    def local_port(self) -> int:
        """A port on our loopback that leads to the exec server, or to the agent's ``container_port``."""
        return self._running().connection.tunnel.local_port

    def reconnect_tunnel(self) -> None:
        """Connect again, whatever the state of the tunnel. Only one does at a time."""
        started = self._running()
        started.lifeline.through(started.connection.tunnel.reconnect)

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def task_arn(self) -> str | None:
        return self._started.task.arn if self._started else None

    @property
    def task_ip(self) -> str | None:
        """The address that we connect to."""
        return self._started.connection.host if self._started else None

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
        return self._running().task.logs()

    def _enter(self, task_arn: str, host: str, keyring: Keyring) -> None:
        """Become the sandbox of a task that somebody launched before."""
        self._started = enter(self.cfg, self.aws, task_arn=task_arn, host=host, keyring=keyring)
        self._lifeline = self._started.lifeline

    # --- inside ---------------------------------------------------------------------------------------------------

    def _running(self) -> Started:
        started = self._started
        if started is None:
            raise SandboxError("the sandbox is not running: call start() first, and nothing after stop()")
        return started

    def _through(self, act: Callable[[ExecClient], T]) -> T:
        started = self._running()
        client = started.mode.client(started.connection)
        return started.lifeline.through(lambda: act(client))

"""Inspect's sandboxes on Fargate: ``inspect eval task.py --sandbox fargate``.

Inspect finds this by its entry point, once ``pip install 'pytest-fargate-sandbox[inspect]'`` has brought both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from pytest_fargate_sandbox.adapters.harness_version import check_version, missing

try:
    from inspect_ai.util import (
        ExecRemoteStreamingOptions,
        SandboxConnection,
        SandboxEnvironment,
        SandboxEnvironmentLimits,
        sandboxenv,
    )
except ModuleNotFoundError as error:
    missing(error, "inspect", "3.11")
finally:
    check_version("inspect-ai", "inspect")

from pytest_fargate_sandbox.adapters import inspect_compose, inspect_kept, inspect_samples, inspect_specs
from pytest_fargate_sandbox.adapters.inspect_config import FargateSandboxConfig
from pytest_fargate_sandbox.adapters.inspect_outcomes import file_errors, not_run, told, unavailable
from pytest_fargate_sandbox.adapters.inspect_process import FargateProcess
from pytest_fargate_sandbox.leaves.errors import SandboxError

if TYPE_CHECKING:
    from inspect_ai.util import ExecRemoteAwaitableOptions, ExecResult
    from pydantic import BaseModel

    from pytest_fargate_sandbox.adapters.inspect_samples import SampleLease

__all__ = ["FargateSandboxConfig", "FargateSandboxEnvironment"]


@sandboxenv(name="fargate")
class FargateSandboxEnvironment(SandboxEnvironment):
    """One task on Fargate. ``sandbox`` is what it is on our side, for what Inspect has no verb for."""

    def __init__(self, lease: SampleLease) -> None:
        super().__init__()
        self.lease = lease
        self.sandbox = lease.sandbox
        self._user = lease.user

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,  # noqa: A002  the name is Inspect's
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,  # noqa: ARG002
        concurrency: bool = True,  # noqa: ARG002
    ) -> ExecResult[str]:
        """Run a command; its time is counted, and its whole tree ended, in the sandbox.

        There is nothing that ``timeout_retry`` could mend: an answer that is lost is found again by its command's id,
        and a command whose time is over has run, which is not done twice. Nor has ``concurrency`` a meaning where
        commands run elsewhere.
        """
        if any("\0" in word for word in cmd):
            raise ValueError("embedded null byte")  # by which Inspect knows a model's slip
        try:
            result = await self.sandbox.exec(
                cmd,
                self.sandbox.blocking.cfg.max_task_lifetime_sec if timeout is None else timeout,
                cwd=cwd,
                env=env,
                user=user or self._user,
                stdin=input,
                max_output_bytes=SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE,
            )
        except (SandboxError, ValueError) as error:  # which is what the words of a command cannot be
            return not_run(error, user)
        return told(result, timeout)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        with file_errors(file):
            await self.sandbox.write_file(file, contents, user=self._user)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        with file_errors(file):
            most = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
            content = await self.sandbox.read_file(file, max_bytes=most, user=self._user)
        return content.decode("utf-8") if text else content

    async def exec_remote(
        self,
        cmd: list[str],
        options: ExecRemoteStreamingOptions | ExecRemoteAwaitableOptions | None = None,
        *,
        stream: bool = True,
    ) -> FargateProcess | ExecResult[str]:
        """Start a command, whose output comes as it is said: ``sandbox().as_type(FargateSandboxEnvironment)`` has it.

        What ``sandbox().exec_remote`` does is Inspect's own: it puts tools into the sandbox and asks those.
        """
        asked = options or ExecRemoteStreamingOptions()
        user = asked.user or self._user
        try:
            process = await FargateProcess.begin(self.sandbox, cmd, asked, user)
            return process if stream else await process.to_end(getattr(asked, "timeout", None))
        except SandboxError as error:
            raise unavailable(error, user) from error

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """How a person gets in while the sample runs."""
        task = self.lease.task
        if not self.sandbox.is_running:
            raise ConnectionError("the sandbox is not running")
        return SandboxConnection(
            type="fargate", command=inspect_kept.way_in(task, user=user or self._user), container=task
        )

    def default_polling_interval(self) -> float:
        return 0.2

    # --- its life ---------------------------------------------------------------------------------------------------

    @classmethod
    def config_files(cls) -> list[str]:
        """First what is ours alone: a task that has both was made ready for Fargate."""
        return [*inspect_specs.FILES, *inspect_compose.FILES, "Dockerfile"]

    @classmethod
    def is_docker_compatible(cls) -> bool:
        return True

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return FargateSandboxConfig(**config)

    @classmethod
    async def task_init_environment(cls, config: BaseModel | str | None, metadata: dict[str, str]) -> dict[str, str]:
        return inspect_specs.variables_of(config, metadata)

    @classmethod
    async def task_init(cls, task_name: str, config: BaseModel | str | None) -> None:  # noqa: ARG003
        """Says what is wrong, and builds what is to be built, before the first sample."""
        await inspect_samples.prepare(config)

    @classmethod
    async def sample_init(
        cls, task_name: str, config: BaseModel | str | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        leases = await inspect_samples.lease(task_name, config, metadata)
        return {name: cls(lease) for name, lease in leases.items()}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,  # noqa: ARG003
        config: BaseModel | str | None,  # noqa: ARG003
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,  # noqa: ARG003
    ) -> None:
        await inspect_samples.end([each.as_type(cls).lease for each in environments.values()])

    @classmethod
    async def task_cleanup(cls, task_name: str, config: BaseModel | str | None, cleanup: bool) -> None:  # noqa: ARG003
        """``cleanup`` is false with ``--no-sandbox-cleanup``: what there is lives on, and is told of."""
        kept = await inspect_samples.end_all(keep=not cleanup)
        inspect_kept.tell_of(kept)

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:  # noqa: A002  the name is Inspect's
        """``inspect sandbox cleanup fargate [TASK]``: what was kept, and what a process left that was killed."""
        await inspect_kept.clean_up(id)

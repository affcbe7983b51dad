"""Harbor's trials on AWS Fargate, or on the embedded engine where there is no account.

    harbor run -e pytest_fargate_sandbox.adapters.harbor:FargateEnvironment -p tasks -a oracle

All trials of a process share an engine, images by their content, a rate of launches and the bound ``max_tasks``.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.adapters.harness_version import check_version, missing

try:
    from harbor.environments.base import BaseEnvironment, ExecResult, SandboxBuildFailedError
    from harbor.environments.capabilities import EnvironmentCapabilities, EnvironmentResourceCapabilities
    from harbor.environments.definition import COMPOSE_FILE_NAME, require_agent_environment_definition
    from harbor.environments.tar_transfer import extract_dir_from_file, remote_pack_command, tar_pack_succeeded
except ModuleNotFoundError as error:
    missing(error, "harbor", "3.12")
finally:
    check_version("harbor", "harbor")

from pytest_fargate_sandbox.adapters.harbor_options import OFFERED, FargateOptions
from pytest_fargate_sandbox.adapters.harbor_output import NotTakenInTime, OutputTeller
from pytest_fargate_sandbox.adapters.harbor_task import spec_of
from pytest_fargate_sandbox.adapters.harness_run import harness_run
from pytest_fargate_sandbox.adapters.harness_settings import config_of, settings_of
from pytest_fargate_sandbox.leaves.errors import ImageBuildError, RemotePermissionError, UnsafeArchiveError
from pytest_fargate_sandbox.tasks.entry_point import beginning_of

if TYPE_CHECKING:
    from pytest_fargate_sandbox.adapters.harness_run import HarnessLease
    from pytest_fargate_sandbox.async_sandbox import AsyncSandbox
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings

_NO_PROGRAM = 127
_BASH, _SH = ("bash", "-c"), ("sh", "-c")
_USERS: dict[tuple[str, bool], str] = {}
"""Of images that do not run as root: their own user. Harbor becomes others, so their tasks are root's from then on."""


class FargateEnvironment(BaseEnvironment):
    """One trial's container: a task on Fargate, reached through an SSH tunnel or the Session Manager."""

    options_model = FargateOptions

    @staticmethod
    def type() -> str:
        return "fargate"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities(disable_internet=True)

    @classmethod
    def resource_capabilities(cls) -> EnvironmentResourceCapabilities:
        """A task has what it asks for, rounded up to a size of Fargate's, and no more."""
        return EnvironmentResourceCapabilities(
            cpu_limit=True, cpu_request=True, memory_limit=True, memory_request=True, fractional_cpus=True
        )

    @classmethod
    def preflight(cls, kwargs: dict[str, Any] | None = None) -> None:
        super().preflight(kwargs)
        config_of(_settings(cls.parse_options(kwargs)))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lease: HarnessLease | None = None
        self._shell = _BASH
        super().__init__(*args, **kwargs)
        self._settings = _settings(self.options)
        self._usual_user: str | None = None

    def _validate_definition(self) -> None:
        require_agent_environment_definition(self.environment_dir, docker_image=self.task_env_config.docker_image)
        if (self.environment_dir / COMPOSE_FILE_NAME).exists():
            raise ValueError(
                f"{self.environment_dir / COMPOSE_FILE_NAME}: a sandbox on Fargate is one container, and compose files "
                "are not read: say [environment].docker_image, or have a Dockerfile alone"
            )
        if self._host_mounts:
            targets = ", ".join(mount["target"] for mount in self._host_mounts)
            raise ValueError(
                f"a sandbox on Fargate has no directories of this machine ({targets}): put files into the image, or "
                "name EFS volumes in the file of --ek config=FILE (volumes)"
            )

    # --- its life ---------------------------------------------------------------------------------------------------

    async def start(self, force_build: bool) -> None:
        image = (self.environment_id, force_build)
        self._usual_user = _USERS.get(image)
        try:
            await self._begin(force_build)
        except RemotePermissionError:
            if self._usual_user:
                raise
            _USERS[image] = await self._images_user()
            await self.stop(delete=True)
            self._usual_user = _USERS[image]
            await self._begin(force_build)

    async def _begin(self, force_build: bool) -> None:
        spec, told = spec_of(self, self._settings, force_build=force_build, as_root=self._usual_user is not None)
        if told:
            self.logger.info(told)
        try:
            self._lease = await harness_run().lease(
                spec, self._settings, holder=self.trial_paths.trial_dir.name, name=self.session_id
            )
        except ImageBuildError as error:
            raise SandboxBuildFailedError(str(error)) from error
        if self.task_env_config.workdir:
            await self._sandbox.mkdir(self.task_env_config.workdir)
        await self.ensure_dirs(self._mount_targets(writable_only=True))
        await self._upload_environment_dir_after_start()
        context = spec.config.environment_dir
        beginning = beginning_of(Path(context) if context else None)
        if beginning:
            done = await self._sandbox.exec(beginning, user=self._usual_user, check=True)
            if done.stdout:
                self.logger.info(done.stdout.strip())

    async def _images_user(self) -> str:
        done = await self._sandbox.exec('echo "$(id -u):$(id -g)"', check=True)
        return str(done.stdout).strip()

    async def stop(self, delete: bool) -> None:
        """Without ``delete`` the task lives until its time is over: ``fargate-sandbox ps`` has it."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.end(keep=not delete)

    @property
    def _sandbox(self) -> AsyncSandbox:
        if self._lease is None:
            raise RuntimeError(f"{self.session_id} has no sandbox: it was not started, or is stopped")
        return self._lease.sandbox

    # --- commands ---------------------------------------------------------------------------------------------------

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """By bash, where the image has it. Cancelled, it ends all that the command has started."""
        who = self._resolve_user(user)
        who = self._usual_user if who is None else str(who)
        emit = self._output_callback()
        run = partial(OutputTeller(emit).exec, self._sandbox) if emit else self._sandbox.exec
        shell = self._shell
        try:
            result = await run(
                [*shell, command],
                timeout_sec or None,
                cwd=cwd or self.task_env_config.workdir,
                env=self._merge_env(env),
                user=who,
            )
        except NotTakenInTime:
            raise _out_of_time(timeout_sec) from None
        if result.could_not_begin and result.return_code == _NO_PROGRAM and shell == _BASH:
            self._shell = _SH
            return await self.exec(command, cwd, env, timeout_sec, user)
        if result.timed_out:
            raise _out_of_time(timeout_sec)
        return ExecResult(stdout=result.stdout, stderr=result.stderr, return_code=result.return_code)

    # --- files ------------------------------------------------------------------------------------------------------

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        await self._sandbox.upload(source_path, target_path)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        if not Path(source_dir).is_dir():
            raise FileNotFoundError(f"there is no directory {source_dir}")
        await self._sandbox.upload(source_dir, target_dir)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        Path(target_path).parent.mkdir(parents=True, exist_ok=True)
        await self._sandbox.download(source_path, target_path)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        Path(target_dir).parent.mkdir(parents=True, exist_ok=True)
        try:
            await self._sandbox.download(source_dir, target_dir)
        except UnsafeArchiveError as error:  # an agent may leave a pipe, or a link to anywhere, beside what counts
            self.logger.warning(f"{source_dir}: {error}: the rest of it is downloaded without what is like that")
            await self._download_the_safe_part(source_dir, Path(target_dir))

    async def _download_the_safe_part(self, source_dir: str, target_dir: Path) -> None:
        archive = f"/tmp/.fargate-sandbox-{uuid.uuid4().hex}.tar.gz"
        try:
            packed = await self.exec(remote_pack_command(source_dir, archive), cwd="/", user="root")
            if not tar_pack_succeeded(packed.return_code, stdout=packed.stdout, stderr=packed.stderr):
                raise RuntimeError(f"{source_dir} could not be packed: {packed.stderr or packed.stdout}")
            with tempfile.TemporaryDirectory() as directory:
                here = Path(directory, "archive")
                await self._sandbox.download(archive, here)
                await asyncio.to_thread(extract_dir_from_file, here, target_dir)
        finally:
            await self._sandbox.remove(archive, missing_ok=True)


def _settings(options: Any) -> Settings:
    given = {name: getattr(options, name) for name in OFFERED}
    return settings_of(given, source="--ek")


def _out_of_time(seconds: int | None) -> RuntimeError:
    return RuntimeError(f"Command timed out after {seconds} seconds")

"""A session of the OpenAI Agents SDK in a sandbox: its verbs in ours, with its errors."""

from __future__ import annotations

import asyncio
import io
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import anyio
from agents.sandbox._mount_security import redact_mount_error_data
from agents.sandbox.errors import (
    ExposedPortUnavailableError,
    WorkspaceWriteTypeError,
)
from agents.sandbox.session.runtime_helpers import RESOLVE_WORKSPACE_PATH_HELPER
from agents.sandbox.types import ExecResult, ExposedPortEndpoint, User
from agents.sandbox.workspace_paths import coerce_posix_path, posix_path_as_path, sandbox_path_str

from pytest_fargate_sandbox.adapters.agents_errors import OURS, exec_error, read_error, start_error, write_error
from pytest_fargate_sandbox.adapters.agents_terminals import AgentTerminals
from pytest_fargate_sandbox.adapters.agents_workspace import AgentsWorkspace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from agents.sandbox.session.pty_types import PtyExecUpdate
    from agents.sandbox.session.runtime_helpers import RuntimeHelperScript

    from pytest_fargate_sandbox.adapters.agents_options import FargateSandboxSessionState
    from pytest_fargate_sandbox.adapters.agents_places import Holding
    from pytest_fargate_sandbox.async_sandbox import AsyncSandbox

_HEALTH_SEC = 8.0
"""``running`` is to be answered within ten."""
_SHORTEST_SEC = 0.001


class FargateSandboxSession(AgentsWorkspace):
    """``find`` gives the sandbox, which it launches where there is none; ``holding`` is what it gave the last time."""

    def __init__(
        self,
        state: FargateSandboxSessionState,
        holding: Holding,
        find: Callable[[FargateSandboxSessionState], Coroutine[Any, Any, Holding]],
        *,
        is_resumed: bool = False,
    ) -> None:
        self.state = state
        self._holding: Holding | None = holding
        self._sandbox = holding.sandbox
        self._find = find
        self._is_resumed = is_resumed
        self._terminals = AgentTerminals(cleanup_sec=state.timeouts.cleanup_s)

    @property
    def sandbox(self) -> AsyncSandbox:
        """What does the work, for whatever has no verb here."""
        return self._sandbox

    @property
    def sandbox_name(self) -> str:
        return self.state.sandbox_name

    # --- its life ----------------------------------------------------------------------------------------------------

    @redact_mount_error_data
    async def start(self) -> None:
        await self._validate_manifest_application()
        async with self._holding.filling if self._holding else nullcontext():
            await self._fill()

    async def _fill(self) -> None:
        is_as_left = self._is_resumed and self._holding and self._holding.is_filled and self._sandbox.is_running
        if not is_as_left:
            self.state.workspace_root_ready = self.state.workspace_root_ready and not self._is_resumed
            await super().start()
            if self._holding:
                self._holding.is_filled = True
        # else with its files, mounts and processes: to apply the manifest again would undo what was done since
        self._is_resumed, self.state.workspace_root_ready = False, True

    async def _ensure_backend_started(self) -> None:
        if self._holding and self._sandbox.is_running:
            return
        await self._give_up()
        self._holding = await self._find(self.state)
        self._sandbox = self._holding.sandbox
        self.state.workspace_root_ready = False
        self._set_start_state_preserved(False)

    async def _prepare_backend_workspace(self) -> None:
        root = self._workspace_root_path()
        try:
            with anyio.fail_after(self.state.timeouts.fast_s):
                await self._sandbox.mkdir(str(root))
        except OURS as error:
            raise start_error(error, root) from error

    async def _shutdown_backend(self) -> None:
        await self._give_up(keep=self.state.pause_on_exit)

    async def _terminate_ambiguous_mount_transition(self) -> None:
        """Not even then is it ended: there is no snapshot of what is in it, and who has it is told by an error."""

    async def _give_up(self, *, keep: bool = False) -> None:
        holding, self._holding = self._holding, None
        if holding:
            await holding.let_go(keep=keep)

    async def running(self) -> bool:
        if not self._holding or not self._sandbox.is_running:
            return False
        asked = asyncio.ensure_future(self._sandbox.exists("/"))
        await asyncio.wait({asked}, timeout=_HEALTH_SEC)  # and who does not answer has his thread to himself
        if not asked.done():
            asked.cancel()
            return False
        return not asked.exception() and asked.result()

    # --- commands ----------------------------------------------------------------------------------------------------

    @redact_mount_error_data
    async def exec(
        self,
        *command: str | Path,
        timeout: float | None = None,
        shell: bool | list[str] = True,
        user: str | User | None = None,
    ) -> ExecResult:
        words = self._prepare_exec_command(*command, shell=shell, user=None)
        return await self._run(words, timeout, _name(user))

    async def _exec_internal(self, *command: str | Path, timeout: float | None = None) -> ExecResult:
        return await self._run([str(word) for word in command], timeout, None)

    async def _run(self, words: list[str], timeout: float | None, user: str | None) -> ExecResult:
        seconds, root = self._seconds(timeout), self.state.manifest.root
        try:
            result = await self._sandbox.exec(words, seconds, cwd=root, env=await self._environment(), user=user)
        except OURS as error:
            raise exec_error(error, words, seconds=seconds, root=root) from error
        if result.timed_out:
            raise exec_error(TimeoutError(f"no end after {seconds:g} s"), words, seconds=seconds, root=root)
        return ExecResult(stdout=result.stdout_bytes, stderr=result.stderr_bytes, exit_code=result.return_code)

    async def _environment(self) -> dict[str, str]:
        return {**(self.state.env_vars or {}), **await self.state.manifest.environment.resolve()}

    def _seconds(self, timeout: float | None) -> float:
        if timeout is None or not math.isfinite(timeout):
            return float(self.state.timeouts.exec_s)
        return max(_SHORTEST_SEC, timeout)

    # --- terminals ---------------------------------------------------------------------------------------------------

    def supports_pty(self) -> bool:
        return True

    @redact_mount_error_data
    async def pty_exec_start(
        self,
        *command: str | Path,
        timeout: float | None = None,
        shell: bool | list[str] = True,
        user: str | User | None = None,
        tty: bool = False,
        yield_time_s: float | None = None,
        max_output_tokens: int | None = None,
    ) -> PtyExecUpdate:
        words = self._prepare_exec_command(*command, shell=shell, user=None)
        seconds, root = self._seconds(timeout), self.state.manifest.root
        try:
            return await self._terminals.start(
                self._sandbox,
                words,
                cwd=root,
                env=await self._environment(),
                user=_name(user),
                tty=tty,
                within_sec=seconds,
                yield_time_s=yield_time_s,
                max_output_tokens=max_output_tokens,
            )
        except OURS as error:
            raise exec_error(error, words, seconds=seconds, root=root) from error

    async def pty_write_stdin(
        self,
        *,
        session_id: int,
        chars: str,
        yield_time_s: float | None = None,
        max_output_tokens: int | None = None,
    ) -> PtyExecUpdate:
        seconds = self.state.timeouts.fast_s
        try:
            return await self._terminals.write(
                session_id,
                chars,
                within_sec=seconds,
                yield_time_s=yield_time_s,
                max_output_tokens=max_output_tokens,
            )
        except OURS as error:
            raise exec_error(error, ("write_stdin", str(session_id)), seconds=seconds, root="") from error

    async def pty_terminate_all(self) -> None:
        await self._terminals.end_all()

    # --- files -------------------------------------------------------------------------------------------------------

    async def _validate_path_access(self, path: Path | str, *, for_write: bool = False) -> Path:
        return await self._validate_remote_path_access(path, for_write=for_write)

    def _runtime_helpers(self) -> tuple[RuntimeHelperScript, ...]:
        return (RESOLVE_WORKSPACE_PATH_HELPER,)

    def _current_runtime_helper_cache_key(self) -> object | None:
        return self._sandbox.task_arn

    async def read(self, path: Path | str, *, user: str | User | None = None) -> io.IOBase:
        workspace_path = await self._validate_path_access(path)
        try:
            with anyio.fail_after(self.state.timeouts.download_s):
                data = await self._sandbox.read_file(sandbox_path_str(workspace_path), user=_name(user))
        except OURS as error:
            raise read_error(error, posix_path_as_path(coerce_posix_path(path))) from error
        return io.BytesIO(data)

    async def _read_bounded(self, path: Path, *, max_bytes: int) -> bytes:
        workspace_path = await self._validate_path_access(path)
        words = ("head", "-c", str(max_bytes), "--", sandbox_path_str(workspace_path))
        result = await self.exec(*words, timeout=self.state.timeouts.download_s, shell=False)
        if not result.ok():
            await self._raise_read_error_from_exec(
                path=path, workspace_path=workspace_path, command=words, result=result
            )
        return result.stdout

    async def write(self, path: Path | str, data: io.IOBase, *, user: str | User | None = None) -> None:
        payload = await asyncio.to_thread(data.read)
        if isinstance(payload, str):
            payload = payload.encode("utf-8")
        if not isinstance(payload, (bytes, bytearray)):
            asked = posix_path_as_path(coerce_posix_path(path))
            raise WorkspaceWriteTypeError(path=asked, actual_type=type(payload).__name__)
        workspace_path = await self._validate_path_access(path, for_write=True)
        try:
            with anyio.fail_after(self.state.timeouts.upload_s):
                await self._sandbox.write_file(sandbox_path_str(workspace_path), bytes(payload), user=_name(user))
        except OURS as error:
            raise write_error(error, workspace_path) from error

    async def mkdir(self, path: Path | str, *, parents: bool = False, user: str | User | None = None) -> None:
        root = self._workspace_root_path()
        workspace_path = self.normalize_path(path, for_write=True)
        if workspace_path != root:  # which need not be there: no command begins in a directory that is not
            workspace_path = await self._validate_path_access(path, for_write=True)
        try:
            with anyio.fail_after(self.state.timeouts.fast_s):
                made = sandbox_path_str(workspace_path)
                await self._sandbox.mkdir(made, parents=parents or workspace_path == root, user=_name(user))
        except OURS as error:
            raise write_error(error, workspace_path, detail="mkdir_failed") from error

    # --- ports -------------------------------------------------------------------------------------------------------

    async def _resolve_exposed_port(self, port: int) -> ExposedPortEndpoint:
        try:
            with anyio.fail_after(self.state.timeouts.fast_s):
                found = await self._sandbox.expose(port)
        except OURS as error:
            raise ExposedPortUnavailableError(
                port=port,
                exposed_ports=self.state.exposed_ports,
                reason="backend_unavailable",
                context={"backend": "fargate", "detail": str(error)},
                cause=error,
            ) from error
        return ExposedPortEndpoint(host=found.host, port=found.port, tls=False, query="")


def _name(user: str | User | None) -> str | None:
    return user.name if isinstance(user, User) else user or None

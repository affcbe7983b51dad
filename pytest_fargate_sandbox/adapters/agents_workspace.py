"""A session's workspace as one tar, out of its sandbox and into another."""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from agents.sandbox.errors import (
    SandboxError as AgentsSandboxError,
)
from agents.sandbox.errors import WorkspaceArchiveReadError, WorkspaceArchiveWriteError, WorkspaceWriteTypeError
from agents.sandbox.session.base_sandbox_session import BaseSandboxSession
from agents.sandbox.session.mount_lifecycle import with_ephemeral_mounts_removed
from agents.sandbox.util.retry import retry_async
from agents.sandbox.util.tar_utils import UnsafeTarMemberError, validate_tarfile

from pytest_fargate_sandbox.adapters.agents_errors import OURS, is_worth_another_try, read_error, write_error

if TYPE_CHECKING:
    from pytest_fargate_sandbox.adapters.agents_options import FargateSandboxSessionState
    from pytest_fargate_sandbox.async_sandbox import AsyncSandbox

_CHUNK = 1024 * 1024
_ARCHIVE = "/tmp/.workspace-{}.tar"
_PATTERN_SIGN = re.compile(r"([][\\*?])")


class AgentsWorkspace(BaseSandboxSession):
    """Of ``FargateSandboxSession``, what persists and hydrates."""

    state: FargateSandboxSessionState
    _sandbox: AsyncSandbox

    async def persist_workspace(self) -> io.IOBase:
        """The workspace without what the manifest excludes. Mounts are taken down first, and come back in any case."""
        packed: list[io.IOBase] = []

        async def pack() -> io.IOBase:
            packed.append(await self._packed())
            return packed[0]

        try:
            return await with_ephemeral_mounts_removed(
                self,
                pack,
                error_path=self._workspace_root_path(),
                error_cls=WorkspaceArchiveReadError,
                operation_error_context_key="snapshot_error_before_remount_corruption",
            )
        except BaseException:
            for archive in packed:  # which nobody gets, since a mount did not come back
                archive.close()
            raise

    @retry_async(retry_if=lambda error, _self: is_worth_another_try(error))
    async def _packed(self) -> io.IOBase:
        root, times = self._workspace_root_path(), self.state.timeouts
        archive = _ARCHIVE.format(secrets.token_hex(8))
        excludes = ["--exclude=./" + _PATTERN_SIGN.sub(r"\\\1", path) for path in self._left_out(root, archive)]
        local = tempfile.NamedTemporaryFile(prefix="workspace-", suffix=".tar")  # noqa: SIM115  goes to the caller
        try:
            await self._tar(*excludes, "-C", str(root), "-cf", archive, ".", problem=WorkspaceArchiveReadError)
            try:
                await self._sandbox.download(archive, local.name, timeout_sec=times.download_s)
            except OURS as error:
                raise read_error(error, root) from error
            finally:
                await self._throw_away(archive)
            # By its name: a download replaces what was there.
            return cast(io.IOBase, Path(local.name).open("rb"))
        finally:
            with suppress(FileNotFoundError):
                local.close()

    def _left_out(self, root: Path, archive: str) -> list[str]:
        paths = {path.as_posix() for path in self._persist_workspace_skip_relpaths()}
        if Path(archive).is_relative_to(root):
            paths.add(Path(archive).relative_to(root).as_posix())
        return sorted(paths - {"", "."})

    async def hydrate_workspace(self, data: io.IOBase) -> None:
        """Put what was persisted where it belongs. What would leave the workspace is refused before that."""
        root = self._workspace_root_path()
        archive = _ARCHIVE.format(secrets.token_hex(8))
        with tempfile.NamedTemporaryFile(prefix="workspace-", suffix=".tar") as local:
            await asyncio.to_thread(_spool, data, local, Path(archive))
            await asyncio.to_thread(_check, Path(local.name), root)
            try:
                await self._sandbox.mkdir(str(root))
                await self._sandbox.upload(local.name, archive, timeout_sec=self.state.timeouts.upload_s)
            except OURS as error:
                await self._throw_away(archive)
                raise write_error(error, root) from error
        try:
            await self._tar("-C", str(root), "-xf", archive, problem=WorkspaceArchiveWriteError)
        finally:
            await self._throw_away(archive)

    async def _tar(self, *words: str, problem: Any) -> None:
        root = self._workspace_root_path()
        try:
            result = await self.exec("tar", *words, timeout=self.state.timeouts.workspace_s, shell=False)
        except AgentsSandboxError as error:
            raise problem(path=root, context={"backend": "fargate"}, cause=error) from error
        if not result.ok():
            output = result.stderr.decode("utf-8", "replace")
            context = {"backend": "fargate", "reason": "tar_failed", "exit_code": result.exit_code, "output": output}
            raise problem(path=root, context=context, retryable=False)

    async def _throw_away(self, archive: str) -> None:
        """It was not the point: where this fails, what was is done."""
        with suppress(AgentsSandboxError):
            await self.exec("rm", "-f", "--", archive, timeout=self.state.timeouts.cleanup_s, shell=False)


def _spool(data: io.IOBase, local: IO[bytes], path: Path) -> None:
    while chunk := data.read(_CHUNK):
        if isinstance(chunk, str):
            chunk = chunk.encode("utf-8")
        if not isinstance(chunk, (bytes, bytearray)):
            raise WorkspaceWriteTypeError(path=path, actual_type=type(chunk).__name__)
        local.write(chunk)
    local.flush()


def _check(local: Path, root: Path) -> None:
    try:
        with tarfile.open(local) as tar:
            validate_tarfile(tar, allow_external_symlink_targets=False)
    except (UnsafeTarMemberError, tarfile.TarError, OSError) as error:
        member = error.member if isinstance(error, UnsafeTarMemberError) else "<tar>"
        context = {"reason": "unsafe_or_invalid_tar", "member": member, "detail": str(error)}
        raise WorkspaceArchiveWriteError(path=root, context=context, cause=error) from error

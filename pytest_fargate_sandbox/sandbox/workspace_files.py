"""Files of a workspace, as its users have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves import call_arguments as checked
from pytest_fargate_sandbox.leaves.artifact_bounds import check_bound
from pytest_fargate_sandbox.sandbox.exec.leash import CALLERS, Leash
from pytest_fargate_sandbox.sandbox.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from pytest_fargate_sandbox.leaves.path_status import PathStatus
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.machine import Machine

T = TypeVar("T")


class WorkspaceFiles:
    """Each verb takes a ``user``, whose rights count then, and who owns what is made; a slot has its own.

    What takes longer than its ``timeout_sec`` is a ``FileTimeout``: what was there is as it was.
    """

    _machine: Machine

    def upload(
        self,
        local_path: str | PathLike[str],
        remote_path: str,
        *,
        user: str | None = None,
        timeout_sec: float | None = None,
    ) -> None:
        """Copy a file or a whole directory into the sandbox; missing parents are made, modes and times are kept.

        A file that is there is replaced in one step.
        """
        local, remote = checked.local_path("local_path", local_path), checked.remote_path("remote_path", remote_path)
        transfers = self._transfers()
        self._on_terms(lambda client: transfers.upload(client, local, remote), user, timeout_sec)

    def download(
        self,
        remote_path: str,
        local_path: str | PathLike[str],
        *,
        user: str | None = None,
        timeout_sec: float | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """Copy a file or a whole directory out of the sandbox; more than ``max_bytes`` are a ``too_large`` error."""
        if max_bytes is not None:
            check_bound("max_bytes", max_bytes)
        remote, local = checked.remote_path("remote_path", remote_path), checked.local_path("local_path", local_path)
        transfers = self._transfers()
        self._on_terms(lambda client: transfers.download(client, remote, local, max_bytes), user, timeout_sec)

    def read_file(self, remote_path: str, *, max_bytes: int | None = None, user: str | None = None) -> bytes:
        """The content of a file that fits in memory; of more than ``max_bytes`` it is a ``too_large`` error."""
        path = checked.remote_path("remote_path", remote_path)
        if max_bytes is not None:
            check_bound("max_bytes", max_bytes)
        return self._on_terms(lambda client: client.read_file(path, max_bytes), user)

    def write_file(
        self,
        remote_path: str,
        data: bytes | str,
        *,
        mode: int | None = None,
        atomic: bool = False,
        user: str | None = None,
    ) -> None:
        """Make a file, or write one as a shell's ``>`` does: it stays the same file, with its owner, mode and links.

        ``atomic`` replaces it instead, as ``upload`` does: a reader sees the old one or the new one, never half of it.
        """
        path = checked.remote_path("remote_path", remote_path)
        self._on_terms(lambda client: client.write_file(path, data, mode=mode, atomic=atomic), user)

    def list_files(self, remote_path: str, *, user: str | None = None) -> list[str]:
        """The names in a directory, in order."""
        path = checked.remote_path("remote_path", remote_path)
        return self._on_terms(lambda client: client.list_files(path), user)

    def glob(self, pattern: str, *, user: str | None = None) -> list[str]:
        """The paths that fit, in order; ``**`` is any number of directories, hidden ones too. No link is followed."""
        pattern = checked.remote_path("pattern", pattern)
        return self._on_terms(lambda client: client.glob(pattern), user)

    def stat(self, remote_path: str, *, follow: bool = True, user: str | None = None) -> PathStatus:
        """What is known of a path: kind, size, mode, owner, time; without ``follow`` of a link itself."""
        path = checked.remote_path("remote_path", remote_path)
        return self._on_terms(lambda client: client.stat(path, follow=follow), user)

    def exists(self, remote_path: str, *, user: str | None = None) -> bool:
        """Whether something is there; a link that leads nowhere is not."""
        path = checked.remote_path("remote_path", remote_path)
        return self._on_terms(lambda client: client.exists(path), user)

    def mkdir(self, remote_path: str, *, parents: bool = True, mode: int = 0o777, user: str | None = None) -> None:
        """Make a directory, if it is not there."""
        path = checked.remote_path("remote_path", remote_path)
        self._on_terms(lambda client: client.mkdir(path, parents=parents, mode=mode), user)

    def remove(
        self, remote_path: str, *, recursive: bool = False, missing_ok: bool = False, user: str | None = None
    ) -> None:
        """Remove a file, a link or an empty directory; with ``recursive`` a directory and all that is in it."""
        path = checked.remote_path("remote_path", remote_path)
        self._on_terms(lambda client: client.remove(path, recursive=recursive, missing_ok=missing_ok), user)

    def _transfers(self) -> Transfers:
        machine = self._machine
        return Transfers(machine.cfg, machine.aws, machine.running().bucket_is_away)

    def _on_terms(self, act: Callable[[ExecClient], T], user: str | None = None, timeout_sec: float | None = None) -> T:
        leash = CALLERS.get()
        if user is not None and not isinstance(user, str):
            raise checked.wrong_argument("user", user, "a user's name or number, as a string")
        if timeout_sec is not None:
            checked.check_seconds("timeout_sec", timeout_sec, endless=True)
            leash = leash or Leash()
            leash.limit(timeout_sec)
        return self._through(lambda client: act(client.as_user(user).on_leash(leash)))

    def _through(self, act: Callable[[ExecClient], T]) -> T:
        raise NotImplementedError

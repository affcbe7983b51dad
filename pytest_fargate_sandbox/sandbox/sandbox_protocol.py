"""What any sandbox is, whatever it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike
    from types import TracebackType

    from pytest_fargate_sandbox.leaves.results import ExecResult, OutsideEndpoint


@runtime_checkable
class Sandbox(Protocol):
    """A machine of one's own for a while.

    ``start`` makes it, ``stop`` takes it away; calling either twice is calling it once. A ``start`` that fails leaves
    nothing behind, and ``stop`` never raises for what is gone already. As a context manager it stops when left, and
    entering it does not start it.

    A command's exit code is a result, not an error, whatever it is. What is raised is about the sandbox, not about the
    command: ``ConfigError`` (the caller's settings), ``StartError`` (it did not come up), ``TransportError`` (it is
    out of reach, and may come back), ``SandboxLost`` (it is gone, and says why), ``RemoteFileError`` (a file operation
    failed as it would have failed there). All of them are ``SandboxError``.

    All methods block, and may be called from many threads at once.
    """

    def start(self, *, force_build: bool = False, outside_endpoints: Iterable[OutsideEndpoint] | None = None) -> None:
        """Bring the sandbox up; return when it takes commands. ``force_build`` builds even an image that is cached."""

    def stop(self) -> None:
        """Take it away. Returns at once; nothing of it can be used any more."""

    def exec(self, command: str, timeout_sec: float = 180) -> ExecResult:
        """Run a command in the sandbox's shell. After ``timeout_sec`` it and all its children are killed: code 124."""

    def upload(self, local_path: str | PathLike[str], remote_path: str) -> None:
        """Copy a file or a whole directory into the sandbox; missing parents are made."""

    def download(self, remote_path: str, local_path: str | PathLike[str]) -> None:
        """Copy a file or a whole directory out of it."""

    @property
    def is_running(self) -> bool:
        """Whether it was started, was not stopped, and is not known to be dead."""

    def resolve_outside_endpoint(self, url: str) -> str:
        """The URL at which processes in the sandbox reach what ``url`` is on our side."""

    def __enter__(self) -> Sandbox: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

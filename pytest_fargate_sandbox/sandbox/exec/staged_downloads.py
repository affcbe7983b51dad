"""A file or a tree that the sandbox has put into S3, on its way from there: it lands as if it came from the sandbox."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Protocol

from pytest_fargate_sandbox.leaves.errors import MISBEHAVED, TransportError
from pytest_fargate_sandbox.sandbox.exec.downloads import Download
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.files.push_protocol import Push, Pushed
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Malformed, Payload, SizedBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls


class Place(Protocol):
    """Somewhere that the sandbox can put something, and we can get it from."""

    def new(self) -> tuple[str, str, str]:
        """A name, the URL to put it there, and the certificates to believe who answers by."""

    def opened(self, name: str) -> Any:
        """What was put there, to be read; a context."""

    def remove(self, name: str) -> None: ...


class TooLittle(Exception):
    """It is not worth the detour."""


class StagedDownload(Download):
    """``TooLittle`` and ``RemoteFileError`` (``unreachable``) say that it has to come another way."""

    def __init__(
        self,
        calls: ExecCalls,
        remote_path: str,
        *,
        place: Place,
        request: Callable[..., Push],
        at_least: int,
        max_bytes: int | None = None,
    ) -> None:
        super().__init__(calls, remote_path, 1, max_bytes=max_bytes)
        self._place = place
        self._request = request
        self._at_least = at_least

    @contextmanager
    def _open(self, request: type[file_protocol.ReadFile | file_protocol.ReadTree]) -> Iterator[Any]:  # type: ignore[override]
        name, url, roots = self._place.new()
        is_tree = request is file_protocol.ReadTree
        asked = self._request(tree=is_tree, url=url, roots=roots, at_least=self._at_least)
        with self._calls.open(asked, patience=self._calls.patience(self._calls.limits.fetch_sec)) as answer:
            pushed = answer.read_message(Pushed)
        assert isinstance(pushed, Pushed)
        if not pushed.size:
            raise TooLittle
        try:
            self._check_size(pushed.size)
            with self._place.opened(name) as content:
                yield _StagedAnswer(content, pushed)
        finally:
            self._place.remove(name)


class _Source:
    """Reads as ``Reader`` does."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content

    def read_some(self, most: int) -> bytes:
        data = self._content.read(min(most, BLOCK))
        if not data:
            raise TransportError("less lies in the bucket than the sandbox says it has put there", kind=MISBEHAVED)
        return data


class _StagedAnswer:
    was_resumed = False
    has_failed = False

    def __init__(self, content: IO[bytes], pushed: Pushed) -> None:
        self.payload = Payload(SizedBody(_Source(content), pushed.size))  # type: ignore[arg-type]
        self._sha256 = pushed.sha256

    def check_whole(self) -> None:
        """It is all there: that was looked at with each byte."""

    def check_digest(self, digest: str) -> None:
        if digest != self._sha256:
            raise Malformed("its digest is not that of what the sandbox says it has put into the bucket")

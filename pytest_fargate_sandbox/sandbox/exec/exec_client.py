"""The client of the exec server: commands and files in a sandbox, from here."""

from __future__ import annotations

import copy
import os
import posixpath
import stat
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.errors import RemoteIsADirectory, TransportError
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.sandbox.exec import own_tokens
from pytest_fargate_sandbox.sandbox.exec.artifact_calls import ArtifactCalls
from pytest_fargate_sandbox.sandbox.exec.batch_run import BatchRun
from pytest_fargate_sandbox.sandbox.exec.command_arguments import command_fields, naming_cwd, run_fields
from pytest_fargate_sandbox.sandbox.exec.downloads import Download
from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls
from pytest_fargate_sandbox.sandbox.exec.exec_connection import ConnectionPool, Stream, loopback
from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk
from pytest_fargate_sandbox.sandbox.exec.exec_run import CommandRun, kill_quietly
from pytest_fargate_sandbox.sandbox.exec.exec_stdin import Stdin
from pytest_fargate_sandbox.sandbox.exec.limits import DEFAULT_MAX_OUTPUT_BYTES, LIMITS, Limits
from pytest_fargate_sandbox.sandbox.exec.process import Guard, Process, Unguarded
from pytest_fargate_sandbox.sandbox.exec.snapshot_calls import SnapshotCalls
from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess
from pytest_fargate_sandbox.sandbox.exec.uploads import Upload
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import archives, file_protocol
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Disconnected, Malformed
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import CompareTree, KnowTree, SaveSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.changes import Changes
    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.slots.many_runs import SlotRun

M = TypeVar("M", bound="Message")
A = TypeVar("A", bound="Message")

_TRIES = 4


class ExecClient:
    """Talks to one exec server, from any number of threads, over connections that it keeps.

    ``port`` means a server on this machine, or one behind a forwarded port; ``connect``, instead of it, gives a new
    stream for each connection (a channel of an SSH connection, say) and is told how long it may take. ``token`` is the
    sandbox's own; in the process that holds the sandbox, its ``local_port`` as the ``port`` is enough. Nothing that the
    server says is taken on trust: ``limits`` bound each answer.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        connect_timeout: float = 30.0,
        token: str | None = None,
        connect: Callable[[float], Stream] | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        if (port is None) == (connect is None):
            raise TypeError("an ExecClient takes a port or a way to connect, one of the two")
        self._pool = ConnectionPool(connect or loopback(port or 0), connect_timeout)
        if token is None and port is not None:
            token = own_tokens.token_of(port)
        self._calls = ExecCalls(self._pool, token, limits)
        self._home: str | None = None
        """What relative paths start from, where the server's own directory is not meant."""

    def in_slot(self, lease: str, home: str) -> ExecClient:
        """The same server, asked in the name of a lease on a slot, whose workspace is ``home``."""
        client = copy.copy(self)
        client._calls, client._home = self._calls.in_slot(lease), home
        return client

    def close(self) -> None:
        self._pool.close()

    def begin_for(self, head: bytes) -> Stream:
        """A connection of its own on which a request, of somebody who has no token, was begun with ours."""
        return self._calls.begin_for(head)

    # --- the server itself --------------------------------------------------------------------------------------
    def health(self) -> bool:
        """Whether the server answers."""
        try:
            self._calls.ask_health()
        except (TransportError, Disconnected, Malformed, Failure):
            return False
        return True

    def wait_ready(self, timeout: float, still_alive: Callable[[], None] | None = None) -> None:
        """Return when the server answers. ``still_alive`` is asked in between, and raises when waiting is in vain."""

        def probe() -> bool:
            try:
                self._calls.ask_health()
            except (TransportError, Disconnected, Malformed, Failure) as reason:
                if still_alive:
                    still_alive()
                raise NotYet(str(reason)) from reason
            return True

        wait_until(probe, deadline=timeout, what="an answer from the exec server", longest_pause=0.25)

    def configure(self, environment: Mapping[str, str | None]) -> None:
        """Change the environment that every later command begins with; None takes a variable away."""
        self._calls.ask(protocol.Configure(environment=dict(environment)), protocol.Nothing)

    def ask(self, request: Message, answer_type: type[A]) -> A:
        """A request that may be repeated, and has a short answer."""
        answer = self._calls.ask(request, answer_type)
        assert isinstance(answer, answer_type)
        return answer

    def teach(self, lesson: str) -> None:
        """Give the server a part of itself that it was not started with, once."""
        self._calls.teach(lesson)

    # --- commands -----------------------------------------------------------------------------------------------
    def exec(
        self,
        cmd: str | Sequence[str],
        *,
        timeout: float | None = 300,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        stdin: bytes | str | os.PathLike[str] | IO[bytes] | None = None,
        on_output: Callable[[OutputChunk], object] | None = None,
        max_output_bytes: int | None = None,
        on_cut: Callable[[str, str], object] | None = None,
    ) -> ExecResult:
        """Run a command to its end: a string by the sandbox's shell, a list without one.

        After ``timeout`` seconds it and all that it has started are killed; the result then has the code 124 and the
        output so far. Of each stream up to ``max_output_bytes`` (128 MiB if not said) come back; if there was more,
        ``truncated`` is true, and the whole stream lies in the sandbox, in a file that the result names.
        ``on_output`` is called with each piece as it comes: bytes, with the ``stream`` they belong to. ``on_cut`` is
        called with the ends of both streams where no result comes back.

        If the connection breaks, the command goes on and is found again by its id; it is never run twice.
        """
        most = DEFAULT_MAX_OUTPUT_BYTES if max_output_bytes is None else max_output_bytes
        request = protocol.Run(
            id=protocol.new_command_id(),
            **command_fields(cmd, self._cwd(cwd), env, user),
            **run_fields(timeout, most, stdin, on_output),
        )
        with naming_cwd(request.cwd):
            result = CommandRun(self._calls, request, Stdin(stdin), on_output, on_cut).to_end()
        if timeout == 0:  # a quick one may have come to its end all the same
            return replace(result, return_code=protocol.CODE_TIMED_OUT, timed_out=True)
        return result

    def run_many(self, requests: Sequence[SlotRun]) -> BatchRun:
        """What will run these in their slots, all of them asked for at once."""
        return BatchRun(self._calls, requests)

    def spawn(
        self,
        cmd: str | Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        guard: Guard | None = None,
        timeout: float | None = None,
    ) -> Process:
        """Start a command in the background, its stdin open; after ``timeout`` seconds it is killed with its children.

        ``guard`` explains what goes wrong with it.
        """
        request = protocol.Spawn(
            id=protocol.new_command_id(), timeout=timeout, **command_fields(cmd, self._cwd(cwd), env, user)
        )
        spawned = self._spawned(request)
        return Process(self._calls, request.id, spawned.pid, request.command, guard or Unguarded())

    def spawn_on_terminal(
        self,
        cmd: str | Sequence[str],
        size: tuple[int, int],
        *,
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        guard: Guard | None = None,
        timeout: float | None = None,
    ) -> TerminalProcess:
        """The same on a terminal of so many columns and rows."""
        columns, rows = size
        fields = command_fields(cmd, self._cwd(cwd), env, user)
        request = protocol.Spawn(id=protocol.new_command_id(), timeout=timeout, columns=columns, rows=rows, **fields)
        spawned = self._spawned(request)
        return TerminalProcess(self._calls, request.id, spawned, request.command, guard or Unguarded())

    def _spawned(self, request: protocol.Spawn) -> protocol.Spawned:
        try:
            with naming_cwd(request.cwd):
                spawned = self._calls.ask(request, protocol.Spawned)
        except (KeyboardInterrupt, SystemExit):  # it may run, and nobody will have its handle
            kill_quietly(self._calls, request.id)
            raise
        assert isinstance(spawned, protocol.Spawned)
        return spawned

    # --- files --------------------------------------------------------------------------------------------------
    def upload(self, remote_path: str, data: bytes | Path, *, mode: int | None = None, max_retries: int = 3) -> None:
        """Put bytes or a local file there, all of it or nothing: what was there is replaced.

        A file keeps its mode and time; parents are made.
        """
        mtime_ns = None
        if isinstance(data, Path):
            status = data.stat()
            mode = stat.S_IMODE(status.st_mode) if mode is None else mode
            mtime_ns = status.st_mtime_ns
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(f"{data} is a directory: that is what upload_tree is for")
        request = self._upload_request(file_protocol.WriteFile, path=remote_path, mode=mode, mtime_ns=mtime_ns)
        Upload(self._calls, request, lambda: _blocks_of(data)).to_end(1 + max_retries)

    def upload_tree(self, local_dir: Path | str, remote_dir: str, *, max_retries: int = 3) -> None:
        """Put what is in a local directory into one there, which is made if need be and merged into if it exists."""
        root = os.fsencode(local_dir)
        os.scandir(root).close()
        request = self._upload_request(file_protocol.WriteTree, path=remote_dir)
        Upload(self._calls, request, lambda: archives.pack(root)).to_end(1 + max_retries)

    def download(self, remote_path: str, *, max_retries: int = 3) -> bytes:
        """The content of a file there."""

        self._request(file_protocol.ReadFile, path=remote_path)
        return Download(self._calls, self._at(remote_path), 1 + max_retries).read_file()

    def download_to(self, remote_path: str, local_path: Path | str, *, max_retries: int = 3) -> None:
        """Copy a file or a whole directory to here, with modes and times.

        A file goes into ``local_path`` if that is a directory. A directory's content goes into ``local_path``, which
        is made if need be; an archive that wants to leave it changes nothing.
        """
        local = Path(local_path)
        download = Download(self._calls, self._at(remote_path), 1 + max_retries)
        try:
            target = local / Path(remote_path).name if local.is_dir() else local
            download.save_file(target)
        except RemoteIsADirectory:
            download.save_tree(local)

    def read_file(self, path: str) -> bytes:
        """The content of a small file."""
        return self.download(path)

    def write_file(self, path: str, data: bytes | str, *, mode: int | None = None, atomic: bool = False) -> None:
        """Make a small file, or write it as a shell's ``>`` does: one that is there keeps inode, owner and mode.

        ``atomic`` replaces it, so that nobody sees half of it.
        """
        content = data.encode("utf-8") if isinstance(data, str) else data
        request = self._upload_request(file_protocol.WriteFile, path=path, mode=mode, in_place=not atomic)
        Upload(self._calls, request, lambda: _blocks_of(content)).to_end(_TRIES)

    def list_files(self, path: str) -> list[str]:
        """The names in a directory, in order."""
        listing = self._calls.ask(self._request(file_protocol.ListFiles, path=path), file_protocol.FileList)
        assert isinstance(listing, file_protocol.FileList)
        return listing.names

    @property
    def artifacts(self) -> ArtifactCalls:
        """What is asked for with bounds, and lies in the workspace."""
        return ArtifactCalls(self._calls, self._home or "")

    def save(self, remote_dir: str, exclude: Sequence[str], target: Path) -> None:
        """Make a snapshot of a directory there, in a file here."""
        wanted = exclude if isinstance(exclude, str) else list(exclude)
        SnapshotCalls(self._calls).save(
            self._request(SaveSnapshot, path=self._base(remote_dir), exclude=wanted), target
        )

    def load(self, source: Path, remote_dir: str) -> tuple[str, ...]:
        """Put what a snapshot has into a directory there, all of it or nothing; what of it could not be kept."""
        return SnapshotCalls(self._calls).load(source, self._at(self._base(remote_dir)))

    def remember(
        self,
        remote_dir: str,
        name: str,
        exclude: Sequence[str],
        described: Callable[[], Iterator[bytes]] | None = None,
    ) -> None:
        """Have the server know what a directory is like now, or what it was like: as ``described``."""
        wanted = exclude if isinstance(exclude, str) else list(exclude)
        request = self._request(
            KnowTree, path=self._base(remote_dir), name=name, exclude=wanted, described=bool(described)
        )
        SnapshotCalls(self._calls).remember(request, described)

    def changes(self, remote_dir: str, name: str, snapshot: Path | None) -> Changes:
        """Since what it was like by that name, which is a snapshot's digest or was given to ``remember``."""
        request = self._request(CompareTree, path=self._base(remote_dir), name=name)
        return SnapshotCalls(self._calls).changes(request, snapshot)

    def fetch(
        self,
        url: str,
        remote_path: str,
        *,
        sha256: str,
        roots: str = "",
        unpack: bool = False,
        mode: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Let the sandbox get a file, or with ``unpack`` a tar, from a URL. What has another digest changes nothing.

        ``roots`` are certificates in PEM by which it may know who answers there, beside its image's own.
        """
        wanted: dict[str, object] = {"url": url, "roots": roots, "path": remote_path, "sha256": sha256}
        request = self._upload_request(file_protocol.Fetch, **wanted, unpack=unpack, mode=mode, mtime_ns=mtime_ns)

        def once() -> None:
            with self._calls.open(request, patience=self._calls.patience(self._calls.limits.fetch_sec)) as answer:
                answer.read_message(protocol.Nothing)

        self._calls.persistently(once)

    # --- how files travel ---------------------------------------------------------------------------------------
    def _request(self, kind: type[M], **values: object) -> M:
        """A request of the caller's making; what cannot be one was wrong here, and is said here."""
        if isinstance(values.get("path"), str):
            values["path"] = self._at(str(values["path"]))
        try:
            return kind(**values)
        except Failure as failure:
            raise ValueError(failure.message) from None

    def _cwd(self, cwd: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
        if self._home and (cwd is None or isinstance(cwd, (str, os.PathLike))):
            return posixpath.join(self._home, os.fspath(cwd or ""))
        return cwd

    def _base(self, path: str) -> str:
        return self._home or path if path == "." else path

    def _at(self, path: str) -> str:
        return posixpath.join(self._home, path) if self._home else path

    def _upload_request(self, kind: type[M], **values: object) -> M:
        """With an id, so that it lands once, however often it has to be sent."""
        return self._request(kind, id=file_protocol.new_upload_id(), **values)


def _blocks_of(data: bytes | Path) -> Iterator[bytes]:
    if isinstance(data, Path):
        with data.open("rb", buffering=0) as file:
            yield from iter(lambda: file.read(BLOCK), b"")
        return
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]


__all__ = ["DEFAULT_MAX_OUTPUT_BYTES", "ExecClient", "OutputChunk", "Process"]

"""A workspace: where commands run and files lie, on a machine."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.artifact_bounds import check_bound
from pytest_fargate_sandbox.leaves.call_arguments import (
    check_event,
    check_globs,
    check_pause,
    check_seconds,
    check_whole,
    local_path,
    remote_path,
    wrong_argument,
)
from pytest_fargate_sandbox.leaves.progress_bar import shown
from pytest_fargate_sandbox.sandbox.changes import Remembered
from pytest_fargate_sandbox.sandbox.past_command import BackgroundCommand, History, RunningCommand
from pytest_fargate_sandbox.sandbox.snapshot import Snapshot, place_for, saved
from pytest_fargate_sandbox.sandbox.starts import Starts
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals
from pytest_fargate_sandbox.sandbox.terminals.screen import check_size
from pytest_fargate_sandbox.sandbox.terminals.terminal_session import TerminalSession
from pytest_fargate_sandbox.sandbox.terminals.tool_terminals import PtyUpdate, ToolTerminals
from pytest_fargate_sandbox.sandbox.workspace_artifacts import WorkspaceArtifacts
from pytest_fargate_sandbox.sandbox.workspace_files import WorkspaceFiles

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.changes import Changes
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient, OutputChunk
    from pytest_fargate_sandbox.sandbox.exec.process import Process
    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess
    from pytest_fargate_sandbox.sandbox.machine import Machine
    from pytest_fargate_sandbox.sandbox.starting import Started
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

T = TypeVar("T")

EXEC_TIMEOUT_SEC = 180.0


class Workspace(WorkspaceFiles):
    """Anywhere in the machine's main container. ``history`` has the last commands, those too that were cut short."""

    def __init__(self, machine: Machine, *, exec_timeout_sec: float | None = None, cwd: str | None = None) -> None:
        """``exec_timeout_sec`` is for commands that are given no ``timeout_sec``; ``cwd`` is where they all start.

        It is what relative paths are relative to; without it they start from the image's own directory.
        """
        if exec_timeout_sec is not None:
            check_seconds("exec_timeout_sec", exec_timeout_sec)
        self.cwd = cwd
        self._machine = machine
        self._exec_timeout_sec = exec_timeout_sec or EXEC_TIMEOUT_SEC
        self.history: History = History()
        self.terminals = OpenTerminals()
        self._tool_terminals = ToolTerminals()
        self._starts = Starts(self._through, empty=False)

    # --- commands -------------------------------------------------------------------------------------------------

    def exec(
        self,
        command: str | Sequence[str],
        timeout_sec: float | None = None,
        *,
        cwd: str | PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        stdin: bytes | str | PathLike[str] | IO[bytes] | None = None,
        check: bool = False,
        on_output: Callable[[OutputChunk], object] | None = None,
        max_output_bytes: int | None = None,
        cancel: threading.Event | None = None,
    ) -> ExecResult:
        """Run a command and return how it ended.

        A string is run by the container's shell, a list without one. ``on_output`` is called with each chunk as it
        comes: bytes whose ``stream`` is ``"stdout"`` or ``"stderr"``. After ``timeout_sec`` (the workspace's own, or
        180) the command and all its children are killed; the result then has ``timed_out`` and the output
        up to then. ``check`` raises ``ExecFailed`` or ``ExecTimeout``. When another thread sets ``cancel``, the command
        and all its children are killed, and this raises ``Cancelled``.
        """
        if timeout_sec is not None:
            check_seconds("timeout_sec", timeout_sec)
        check_event("cancel", cancel)
        lifeline = self._machine.running().lifeline
        timeout = self._exec_timeout_sec if timeout_sec is None else timeout_sec
        running = RunningCommand(command)
        try:
            result = self._through(
                lambda client: client.exec(
                    command,
                    timeout=timeout,
                    cwd=cwd,
                    env=running.environment(env),
                    user=user,
                    stdin=stdin,
                    on_output=on_output,
                    max_output_bytes=max_output_bytes,
                    cancel=cancel,
                    on_cut=running.hear,
                )
            )
        except BaseException as error:
            if running.was_cut:
                self.history.append(running.cut_by(error))
            raise
        self.history.append(running.ended(result))
        lifeline.checked(result)
        return result.check() if check else result

    def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        stdin: bytes | str | PathLike[str] | IO[bytes] | None = None,
        timeout_sec: float | None = None,
        on_output: Callable[[OutputChunk], object] | None = None,
        max_output_bytes: int | None = None,
    ) -> Process:
        """Start a command and return a handle on it (poll, wait, read, write, signal, kill).

        Without ``stdin`` that stays open, for ``write``. After ``timeout_sec`` it is killed with its children.
        ``on_output`` is called from a thread with each chunk as it comes, and ``wait`` gives so much of each stream.
        """
        if timeout_sec is not None:
            check_seconds("timeout_sec", timeout_sec)
        lifeline = self._machine.running().lifeline
        running = RunningCommand(command)
        remembered = BackgroundCommand(running, self.history)
        process = self._through(
            lambda client: client.spawn(
                command,
                cwd=cwd,
                env=running.environment(env),
                user=user,
                guard=lifeline,
                timeout=timeout_sec,
                stdin=stdin,
                on_output=on_output,
                max_output_bytes=max_output_bytes,
                on_end=remembered.ended,
            )
        )
        remembered.begun()
        return process

    def open_terminal(
        self,
        name: str = "main",
        width: int = 160,
        height: int = 40,
        command: str | Sequence[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        *,
        cwd: str | None = None,
    ) -> Terminal:
        """Open a terminal with a shell in it (the best that the image has), or with another program.

        A shell lives on: ``run`` runs commands in it. Any program can be typed to and looked at. A second one of a
        name that is open is a ``ValueError``. A sandbox has 64 at most: for one more, an ended one goes, or else the
        one that was idle for the longest, but none of the eight that were used last.
        """
        if not isinstance(name, str):
            raise wrong_argument("name", name, "a terminal's name, as a string")
        lifeline = self._machine.running().lifeline
        return self._through(
            lambda client: self.terminals.open(
                client, lifeline, name, width, height, command, env=env, user=user, cwd=cwd
            )
        )

    def spawn_on_terminal(
        self,
        command: str | Sequence[str],
        size: tuple[int, int],
        *,
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
    ) -> TerminalProcess:
        """Start a command on a terminal of so many columns and rows, for who renders it himself."""
        if not (isinstance(size, (tuple, list)) and len(size) == 2):
            raise wrong_argument("size", size, "columns and rows, such as (80, 24)")
        check_size(*size)
        lifeline = self._machine.running().lifeline
        return self._through(
            lambda client: client.spawn_on_terminal(command, size, cwd=cwd, env=env, user=user, guard=lifeline)
        )

    def create_session(
        self, session_name: str, is_active_stream: bool = False, as_configured_user: bool = True
    ) -> TerminalSession:
        """A terminal with the names that harnesses of tmux sessions use; as root if not ``as_configured_user``."""
        if not isinstance(session_name, str):
            raise wrong_argument("session_name", session_name, "a terminal's name, as a string")
        terminal = self.open_terminal(session_name, user=None if as_configured_user else "root")
        return TerminalSession(self, terminal, is_active_stream=is_active_stream)

    def abandon_terminals(self) -> None:
        """Nobody listens to them any more: the sandbox is gone, or let go of."""
        self.terminals.close()
        self._tool_terminals.abandon()

    # --- processes by handle, for tool calls ----------------------------------------------------------------------

    def pty_start(
        self,
        command: str | Sequence[str],
        yield_time_s: float = 10,
        max_output_tokens: int | None = None,
        timeout: float | None = None,
        *,
        cwd: str | None = None,
        user: str | None = None,
        shell: str | None = None,
        tty: bool = False,
    ) -> PtyUpdate:
        """Start a process and return what it says until it ends, or for ``yield_time_s`` (0.25 to 30 seconds).

        It goes on, under the id of the update, if it has not ended. ``tty`` gives it a terminal, ``shell`` runs the
        command by another one than /bin/sh, ``timeout`` ends it. What is more than ``max_output_tokens`` is cut in the
        middle.
        """
        check_pause("yield_time_s", yield_time_s)
        if max_output_tokens is not None:
            check_whole("max_output_tokens", max_output_tokens)
        lifeline = self._machine.running().lifeline
        return self._through(
            lambda client: self._tool_terminals.start(
                client,
                lifeline,
                command,
                yield_time_s,
                max_output_tokens,
                timeout,
                cwd=cwd,
                user=user,
                shell=shell,
                tty=tty,
            )
        )

    def pty_write(
        self, process_id: int, chars: str = "", yield_time_s: float = 0.25, max_output_tokens: int | None = None
    ) -> PtyUpdate:
        """Write to such a process; without ``chars`` it is only asked what it says, for five seconds at least."""
        check_pause("yield_time_s", yield_time_s)
        if max_output_tokens is not None:
            check_whole("max_output_tokens", max_output_tokens)
        return self._tool_terminals.write(process_id, chars, yield_time_s, max_output_tokens)

    def pty_end(self, process_id: int | None) -> None:
        """End one of them, unless it has ended."""
        self._tool_terminals.end(process_id)

    def pty_end_all(self) -> None:
        """End all of them."""
        self._tool_terminals.end_all()

    # --- trees as they were --------------------------------------------------------------------------------------

    def save(
        self,
        path: str = ".",
        *,
        exclude: Sequence[str] = (),
        to: str | PathLike[str] | None = None,
        user: str | None = None,
        timeout_sec: float | None = None,
        max_bytes: int | None = None,
        max_members: int | None = None,
    ) -> Snapshot:
        """Save a directory (a slot's home) with all that is known of it, without what fits the globs of ``exclude``.

        The file goes with the snapshot, or stays where ``to`` says. More than ``max_bytes``, or ``max_members``, which
        are files, links and directories, are a ``RemoteFileError`` of the kind ``too_large``. See docs/snapshots.md.
        """
        path = remote_path("path", path)
        check_globs("exclude", exclude)
        bounds = {"max_bytes": max_bytes, "max_members": max_members}
        for name, bound in bounds.items():
            if bound is not None:
                check_bound(name, bound)
        file, keeps = place_for(to)
        with shown(f"save {path}"):
            self._on_terms(lambda client: client.save(path, exclude, file, **bounds), user, timeout_sec)
        return saved(file, keeps)

    def load(
        self,
        snapshot: Snapshot | str | PathLike[str],
        path: str = ".",
        *,
        user: str | None = None,
        timeout_sec: float | None = None,
        set_ids: bool = True,
    ) -> tuple[str, ...]:
        """Put what was saved, here or elsewhere, into a directory, beside what is there; all of it or nothing.

        What of it could not be kept is returned: an owner, where others than root load it. Without ``set_ids`` nothing
        that is loaded is run as its owner or group.
        """
        path = remote_path("path", path)
        found = snapshot if isinstance(snapshot, Snapshot) else Snapshot.open(local_path("snapshot", snapshot))
        transfers = self._transfers()
        not_kept = self._on_terms(
            lambda client: transfers.load(client.with_set_ids(set_ids), found, path), user, timeout_sec
        )
        self._starts.loaded(found, path)
        return not_kept

    def remember(self, path: str = ".", *, exclude: Sequence[str] = ()) -> Remembered:
        """Have the sandbox know what a directory is like now, without what fits the globs, for ``changes``."""
        check_globs("exclude", exclude)
        return self._starts.remember(remote_path("path", path), exclude)

    def changes(
        self, since: Snapshot | Remembered | str | PathLike[str] | None = None, path: str | None = None
    ) -> Changes:
        """What was added to, modified in and removed from a directory since a snapshot of it, or what was remembered.

        Without either since its start: what was loaded into it or remembered of it last; a slot's home was empty.
        """
        if not isinstance(since, (Snapshot, Remembered, type(None))):
            since = local_path("since", since)
        return self._starts.changes(since, None if path is None else remote_path("path", path))

    @property
    def artifacts(self) -> WorkspaceArtifacts:
        """Results: files, listings and archives, with bounds, and never from beside the workspace."""
        return WorkspaceArtifacts(self._through)

    def _through(self, act: Callable[[ExecClient], T]) -> T:
        started = self._machine.running()
        client = self._client(started)
        return started.lifeline.through(lambda: act(client))

    def _client(self, started: Started) -> ExecClient:
        client = started.mode.client(started.connection)
        return client.at(self.cwd) if self.cwd else client

"""The client of the exec server: commands and files in a sandbox, from here."""

from __future__ import annotations

import copy
import os
import posixpath
from dataclasses import replace
from typing import IO, TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.call_arguments import check_port, check_seconds
from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.sandbox.exec import own_tokens
from pytest_fargate_sandbox.sandbox.exec.batch_run import BatchRun
from pytest_fargate_sandbox.sandbox.exec.command_arguments import command_fields, naming_cwd, run_fields
from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls
from pytest_fargate_sandbox.sandbox.exec.exec_connection import ConnectionPool, Stream, loopback
from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk
from pytest_fargate_sandbox.sandbox.exec.exec_run import CommandRun, kill_quietly
from pytest_fargate_sandbox.sandbox.exec.exec_stdin import Stdin
from pytest_fargate_sandbox.sandbox.exec.limits import DEFAULT_MAX_OUTPUT_BYTES, LIMITS, Limits
from pytest_fargate_sandbox.sandbox.exec.process import Guard, Process, Unguarded
from pytest_fargate_sandbox.sandbox.exec.remote_files import RemoteFiles
from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Malformed

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotRun

A = TypeVar("A", bound="Message")


class ExecClient(RemoteFiles):
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
        if port is not None:
            check_port("port", port)
        check_seconds("connect_timeout", connect_timeout)
        self._pool = ConnectionPool(connect or loopback(port or 0), connect_timeout)
        if token is None and port is not None:
            token = own_tokens.token_of(port)
        self._calls = ExecCalls(self._pool, token, limits)

    def in_slot(self, lease: str, home: str) -> ExecClient:
        """The same server, asked in the name of a lease on a slot, whose workspace is ``home``."""
        client = copy.copy(self)
        client._calls = self._calls.in_slot(lease)
        client._home = client._fence = home
        return client

    def close(self) -> None:
        self._pool.close()

    def begin_for(self, head: bytes) -> Stream:
        """A connection of its own on which a request, of somebody who has no token, was begun with ours."""
        return self._calls.begin_for(head)

    # --- the server itself --------------------------------------------------------------------------------------
    def health(self) -> bool:
        """Whether the server answers."""
        return self._calls.lives()

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
        cancel: threading.Event | None = None,
        on_cut: Callable[[str, str], object] | None = None,
    ) -> ExecResult:
        """Run a command to its end: a string by the sandbox's shell, a list without one.

        After ``timeout`` seconds it and all that it has started are killed; the result then has the code 124 and the
        output so far. Of each stream up to ``max_output_bytes`` (128 MiB if not said) come back; if there was more,
        ``truncated`` is true, and the whole stream lies in the sandbox, in a file that the result names.
        ``on_output`` is called with each piece as it comes: bytes, with the ``stream`` they belong to. ``on_cut`` is
        called with the ends of both streams where no result comes back. When another thread sets ``cancel`` the
        command and all that it has started are killed, and that is a ``Cancelled``.

        If the connection breaks, the command goes on and is found again by its id; it is never run twice.
        """
        most = DEFAULT_MAX_OUTPUT_BYTES if max_output_bytes is None else max_output_bytes
        request = protocol.Run(
            id=protocol.new_command_id(),
            **command_fields(cmd, self._cwd(cwd), env, user),
            **run_fields(timeout, most, stdin, on_output),
        )
        with naming_cwd(request.cwd):
            result = CommandRun(self._calls, request, Stdin(stdin), on_output, on_cut, cancel).to_end()
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
        stdin: bytes | str | os.PathLike[str] | IO[bytes] | None = None,
        on_output: Callable[[OutputChunk], object] | None = None,
        max_output_bytes: int | None = None,
        on_end: Callable[[ExecResult], object] | None = None,
    ) -> Process:
        """Start a command in the background; after ``timeout`` seconds it is killed with its children.

        Its stdin is open, or has all of ``stdin``, and then ends. ``on_output`` is called from a thread with each piece
        as it comes; ``wait`` gives up to ``max_output_bytes`` of each stream. ``guard`` explains what goes wrong, and
        ``on_end`` is told how it ended once that is seen.
        """
        most = DEFAULT_MAX_OUTPUT_BYTES if max_output_bytes is None else max_output_bytes
        run_fields(timeout, most, stdin, on_output)  # what is wrong with them is said before anything runs
        request = protocol.Spawn(
            id=protocol.new_command_id(), timeout=timeout, **command_fields(cmd, self._cwd(cwd), env, user)
        )
        spawned = self._spawned(request)
        process = Process(self._calls, request.id, spawned.pid, request.command, guard or Unguarded(), most, on_end)
        if stdin is not None:
            process.feed(Stdin(stdin))
        return process.follow(on_output) if on_output else process

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

    def _cwd(self, cwd: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
        if self._home and (cwd is None or isinstance(cwd, (str, os.PathLike))):
            return posixpath.join(self._home, os.fspath(cwd or ""))
        return cwd


__all__ = ["DEFAULT_MAX_OUTPUT_BYTES", "ExecClient", "OutputChunk", "Process"]

"""One command, as its client sees it: its output collected, a broken connection replaced, and never a second run."""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import Cancelled, SandboxError, TransportError
from pytest_fargate_sandbox.leaves.results import ExecResult
from pytest_fargate_sandbox.sandbox.exec.cancelling import ended_by
from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, ExecCalls, error_of, misbehaviour
from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk, Streams
from pytest_fargate_sandbox.sandbox.exec.exec_stdin import Stdin, StdinFeeder
from pytest_fargate_sandbox.sandbox.exec.leash import Leash
from pytest_fargate_sandbox.sandbox.exec.stdin_writer import StdinWriter
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Malformed

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

_FRUITLESS_ATTEMPTS = 5
_KILLS = 20


class CommandRun:
    """Runs one command to its end."""

    def __init__(
        self,
        calls: ExecCalls,
        request: protocol.Run,
        stdin: Stdin,
        on_output: Callable[[OutputChunk], object] | None,
        on_cut: Callable[[str, str], object] | None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._cancel = cancel
        self._kills = 0
        self._leash = Leash()
        self._plain_calls = calls
        calls = self._calls = calls.on_leash(self._leash) if cancel else calls
        self._request = request
        self._stdin = stdin
        self._feeder: StdinFeeder | None = None
        self._on_output = on_output
        self._on_cut = on_cut
        limits, most = calls.limits, request.limit or 0
        self._streams = Streams(most, most, limits.idle_heartbeats)
        longest = float("inf") if request.timeout is None else request.timeout + limits.grace_sec
        self._patience = calls.patience(longest, limits.silence_sec)
        self._was_answered = False

    def to_end(self) -> ExecResult:
        try:
            with ended_by(self._cancel, self._kill):
                result = self._to_end()
            if self._cancel and self._cancel.is_set():
                raise Cancelled(f"the command was cancelled, and all that it had started: {result.command:.300}")
            return result
        except BaseException:
            if self._on_cut:
                self._on_cut(*(self._streams.of[kind].text() for kind in (protocol.STDOUT, protocol.STDERR)))
            raise

    def _kill(self) -> None:
        """By its caller's wish; where that does nothing for long, its answer is not waited for either."""
        self._kills += 1
        if self._kills > _KILLS:
            self._leash.give_up()
        kill_quietly(self._plain_calls, self._request.id)

    def _to_end(self) -> ExecResult:
        try:
            if self._stdin.inline is None:
                self._start_with_a_stream()
            result = self._persist()
            if self._feeder and self._feeder.error:
                raise self._feeder.error  # The command was killed for it: half an input is no input.
            return self._result_of(result)
        except Failure as failure:
            raise error_of(failure) from None
        except TransportError:
            raise
        except Disconnected as reason:
            raise TransportError(f"lost the exec server while a command ran: {reason}") from reason
        except Malformed as reason:
            raise misbehaviour(reason) from reason
        except BaseException:
            # The caller gives up (Ctrl-C, a test's own time-out, an on_output that raises): so does the command.
            kill_quietly(self._calls, self._request.id)
            raise

    def _persist(self) -> protocol.Result:
        """Listen on connection after connection, as long as each brings something."""
        endurance = self._calls.endurance(_FRUITLESS_ATTEMPTS)
        open_answer = self._start if self._feeder is None else self._resume
        while True:
            before = self._streams.news
            try:
                with open_answer() as answer:
                    return self._listen(answer)
            except (Disconnected, TransportError) as reason:
                if self._streams.news > before:
                    endurance.begin_anew()
                if endurance.ends(broke=isinstance(reason, Disconnected)):
                    kill_quietly(self._calls, self._request.id)
                    raise reason
                open_answer = self._resume
            except Failure as failure:
                if failure.kind != "unknown_command" or self._was_answered or endurance.ends(broke=True):
                    raise
                # Our request never arrived, and should it still, its id keeps it from running twice.
                has_a_way, open_answer = open_answer == self._resume, self._start
                if has_a_way:
                    continue
            rest = endurance.rest()
            self._patience.spend(rest)
            time.sleep(rest)

    def _start(self) -> AbstractContextManager[Answer]:
        return self._calls.open(self._request, self._stdin.inline or b"", patience=self._patience)

    def _start_with_a_stream(self) -> None:
        """In the background, where there is a way to its stdin that outlives a connection."""
        fields = {name: getattr(self._request, name) for name in protocol.Spawn.FIELDS if name in protocol.Run.FIELDS}
        self._calls.ask(protocol.Spawn(**fields), protocol.Spawned)
        self._was_answered = True
        writer = StdinWriter(self._calls, self._request.id)
        self._feeder = StdinFeeder(self._stdin, writer, lambda: kill_quietly(self._calls, self._request.id, tries=5))
        self._feeder.start()

    def _resume(self) -> AbstractContextManager[Answer]:
        request = protocol.Attach(
            id=self._request.id,
            stdout=self._streams.of[protocol.STDOUT].size,
            stderr=self._streams.of[protocol.STDERR].size,
            limit=self._request.limit,
        )
        return self._calls.open(request, patience=self._patience)

    def _listen(self, answer: Answer) -> protocol.Result:
        self._was_answered = True
        result = self._streams.read(answer, self._pass_on if self._on_output else None)
        stdout, stderr = (self._streams.of[kind].size for kind in (protocol.STDOUT, protocol.STDERR))
        if result.running or result.stdout_total < stdout or result.stderr_total < stderr:
            raise Malformed(f"an end before the end, or with less than the {stdout} and {stderr} bytes that came")
        return result

    def _pass_on(self, kind: bytes, data: bytes) -> None:
        assert self._on_output
        chunk = OutputChunk(data)
        chunk.stream = "stdout" if kind == protocol.STDOUT else "stderr"
        self._on_output(chunk)

    def _result_of(self, result: protocol.Result) -> ExecResult:
        stdout, stderr = (self._streams.of[kind].bytes() for kind in (protocol.STDOUT, protocol.STDERR))
        return result_of(result, self._request.command, stdout, stderr)


def result_of(result: protocol.Result, command: str | Sequence[str], stdout: bytes, stderr: bytes) -> ExecResult:
    return ExecResult(
        stdout=stdout.decode("utf-8", "replace"),
        stderr=stderr.decode("utf-8", "replace"),
        return_code=-1 if result.return_code is None else result.return_code,
        timed_out=result.timed_out,
        truncated=result.stdout_total > len(stdout) or result.stderr_total > len(stderr),
        duration_sec=result.duration,
        stdout_bytes=stdout,
        stderr_bytes=stderr,
        oom_killed=result.oom_killed,
        oom_kills=result.oom_kills,
        memory_limit_bytes=result.memory_limit or None,
        could_not_begin=result.could_not_begin,
        stdout_spool=result.stdout_spool,
        stderr_spool=result.stderr_spool,
        command=command if isinstance(command, str) else shlex.join(command),
    )


def kill_quietly(calls: ExecCalls, command_id: str, tries: int = 1) -> None:
    """Take a command down that nobody waits for any more."""

    def once() -> None:
        request = protocol.Signal(id=command_id, signal=9, tree=True)
        with calls.open(request, patience=calls.patience(calls.limits.health_sec)) as answer:
            answer.read_message(protocol.Nothing)

    with suppress(SandboxError):
        calls.persistently(once, tries)

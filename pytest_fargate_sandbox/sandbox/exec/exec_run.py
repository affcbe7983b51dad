"""One command, as its client sees it: its output collected, a broken connection replaced, and never a second run."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Literal

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.leaves.results import ExecResult
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.sandbox.exec.exec_calls import SILENCE_SEC, Answer, ExecCalls, error_of
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Disconnected, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from pytest_fargate_sandbox.sandbox.exec.exec_stdin import Stdin

DEFAULT_MAX_OUTPUT_BYTES = 128 * 1024 * 1024
"""Of each stream. What a command says beyond it stays in a file in the sandbox, and takes no memory here."""

_FRUITLESS_ATTEMPTS = 5


class OutputChunk(bytes):
    """A piece of output as it came; ``stream`` says which one it belongs to."""

    stream: Literal["stdout", "stderr"] = "stdout"


class CommandRun:
    """Runs one command to its end."""

    def __init__(
        self,
        calls: ExecCalls,
        request: protocol.Run,
        stdin: Stdin,
        on_output: Callable[[OutputChunk], object] | None,
    ) -> None:
        self._calls = calls
        self._request = request
        self._stdin = stdin
        self._on_output = on_output
        self._received: dict[bytes, list[bytes]] = {protocol.STDOUT: [], protocol.STDERR: []}
        self._sizes = {protocol.STDOUT: 0, protocol.STDERR: 0}
        self._was_answered = False

    def to_end(self) -> ExecResult:
        try:
            return self._result_of(self._persist())
        except Failure as failure:
            raise error_of(failure) from None
        except TransportError:
            raise
        except Disconnected as reason:
            raise TransportError(f"lost the exec server while a command ran: {reason}") from reason
        except Malformed as reason:
            raise TransportError(f"that is not our exec server: {reason}") from reason
        except BaseException:
            # The caller gives up (Ctrl-C, a test's own time-out, an on_output that raises): so does the command.
            kill_quietly(self._calls, self._request.id)
            raise

    def _persist(self) -> protocol.Result:
        """Listen on connection after connection, as long as each brings something."""
        rests = pauses(0.05, 1.0)
        fruitless = 0
        open_answer = self._start
        while True:
            before = sum(self._sizes.values())
            try:
                with open_answer() as answer:
                    return self._listen(answer)
            except (Disconnected, TransportError) as reason:
                fruitless = 1 if sum(self._sizes.values()) > before else fruitless + 1
                if fruitless >= _FRUITLESS_ATTEMPTS or not self._stdin.can_be_sent_again:
                    kill_quietly(self._calls, self._request.id)
                    raise reason
                open_answer = self._resume
            except Failure as failure:
                if failure.kind != "unknown_command" or self._was_answered:
                    raise
                # Our request never arrived, and should it still, its id keeps it from running twice.
                open_answer = self._start
            time.sleep(next(rests))

    def _start(self) -> AbstractContextManager[Answer]:
        if self._stdin.inline is not None:
            return self._calls.open(self._request, self._stdin.inline, silence=SILENCE_SEC)
        return self._calls.open_both_ways(self._request, self._stdin.blocks(), silence=SILENCE_SEC)

    def _resume(self) -> AbstractContextManager[Answer]:
        request = protocol.Attach(
            id=self._request.id,
            stdout=self._sizes[protocol.STDOUT],
            stderr=self._sizes[protocol.STDERR],
            limit=self._request.limit,
        )
        return self._calls.open(request, silence=SILENCE_SEC)

    def _listen(self, answer: Answer) -> protocol.Result:
        self._was_answered = True
        for kind, data in frames(answer):
            if kind == protocol.RESULT:
                answer.payload.read_all()
                return protocol.Result.from_json(data)  # type: ignore[no-any-return]
            self._received[kind].append(data)
            self._sizes[kind] += len(data)
            if self._on_output:
                chunk = OutputChunk(data)
                chunk.stream = "stdout" if kind == protocol.STDOUT else "stderr"
                self._on_output(chunk)
        raise Disconnected("an answer ended without its result")

    def _result_of(self, result: protocol.Result) -> ExecResult:
        stdout, stderr = (b"".join(self._received[kind]) for kind in (protocol.STDOUT, protocol.STDERR))
        return result_of(result, self._request.command, stdout, stderr)


def frames(answer: Answer) -> Iterator[tuple[bytes, bytes]]:
    """The frames of an answer; a large one comes in pieces, heartbeats not at all."""
    while True:
        kind, size = protocol.parse_frame_head(answer.payload.read_exactly(protocol.FRAME_HEAD_SIZE))
        if kind == protocol.RESULT:
            yield kind, answer.payload.read_exactly(size)
            return
        if kind not in (protocol.STDOUT, protocol.STDERR, protocol.HEARTBEAT):
            raise Malformed(f"{kind!r} is not a kind of frame")
        while size:
            data = answer.payload.read(min(size, BLOCK))
            if not data:
                raise Disconnected("a frame ended early")
            size -= len(data)
            if kind != protocol.HEARTBEAT:
                yield kind, data


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
        stdout_spool=result.stdout_spool,
        stderr_spool=result.stderr_spool,
        command=command if isinstance(command, str) else shlex.join(command),
    )


def kill_quietly(calls: ExecCalls, command_id: str) -> None:
    """One attempt to take a command down that nobody waits for any more."""
    try:
        with calls.open(protocol.Signal(id=command_id, signal=9, tree=True), silence=5.0) as answer:
            answer.payload.read_all()
    except (Failure, Disconnected, Malformed, SandboxError):
        pass

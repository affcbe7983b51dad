"""A command in the background, by handle."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from pytest_fargate_sandbox.leaves.call_arguments import bytes_of, check_pause, check_signal
from pytest_fargate_sandbox.sandbox.exec.exec_frames import Streams
from pytest_fargate_sandbox.sandbox.exec.exec_run import result_of
from pytest_fargate_sandbox.sandbox.exec.exec_stdin import Stdin, StdinFeeder
from pytest_fargate_sandbox.sandbox.exec.limits import DEFAULT_MAX_OUTPUT_BYTES
from pytest_fargate_sandbox.sandbox.exec.output_follower import OutputFollower
from pytest_fargate_sandbox.sandbox.exec.stdin_writer import StdinWriter
from pytest_fargate_sandbox.server import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls
    from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk

T = TypeVar("T")

_ONE_WAIT_SEC = 20.0
"""A long wait is many of these, so that each is shorter than the silence that a dead connection is known by."""

_ONE_READ = 64 * 1024 * 1024
"""The most that one ``read`` brings, so that a process that speaks for hours fits into memory here."""

_WHOLE = 1 << 62


class Guard(Protocol):
    """What stands between a process and its sandbox's troubles."""

    def through(self, act: Callable[[], T]) -> T:
        """What ``act`` returns; a broken connection is explained."""

    def checked(self, result: ExecResult) -> ExecResult:
        """``result``, unless the command was killed because its task died."""


class Unguarded:
    """For whoever has a server and no sandbox."""

    def through(self, act: Callable[[], T]) -> T:
        return act()

    def checked(self, result: ExecResult) -> ExecResult:
        return result


class Process:
    """A process that was left running. The sandbox ends it when it stops; ``kill`` ends it, and its children, now."""

    def __init__(
        self,
        calls: ExecCalls,
        command_id: str,
        pid: int,
        command: str | Sequence[str],
        guard: Guard,
        max_output_bytes: int = DEFAULT_MAX_OUTPUT_BYTES,
        on_end: Callable[[ExecResult], object] | None = None,
    ) -> None:
        self.id = command_id
        self.pid = pid
        """Its number inside the sandbox."""
        self._calls = calls
        self._guard = guard
        self._stdin = StdinWriter(calls, command_id)
        self._command = command
        self._read = {protocol.STDOUT: 0, protocol.STDERR: 0}
        self._return_code: int | None = None
        self._max_output_bytes = max_output_bytes
        self._on_end = on_end
        self._has_told_its_end = False
        self._helpers: list[StdinFeeder | OutputFollower] = []

    def feed(self, stdin: Stdin) -> Self:
        """Write all of it to the process's stdin, and close that, while the caller goes on."""
        return self._help(StdinFeeder(stdin, self._stdin, self.kill))

    def follow(self, on_output: Callable[[OutputChunk], object]) -> Self:
        """Call it with each piece of output as it comes, from a thread."""
        return self._help(OutputFollower(self.look, on_output, self.kill))

    def _help(self, helper: StdinFeeder | OutputFollower) -> Self:
        self._helpers.append(helper)
        helper.start()
        return self

    def __repr__(self) -> str:
        return f"<Process {self.pid}: {self._command!r}>"

    def poll(self) -> int | None:
        """Its return code, or None while it runs."""
        if self._return_code is None:
            self._return_code = self.look(_WHOLE, _WHOLE, 0.0, 0)[0].return_code
        return self._return_code

    def wait(self, timeout: float | None = None) -> ExecResult:
        """Its end, with all that it has said, whatever was read before; a ``TimeoutError`` if it runs on."""
        if timeout is not None:
            check_pause("timeout", timeout)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _ONE_WAIT_SEC if end is None else min(_ONE_WAIT_SEC, end - time.monotonic())
            if not self.look(_WHOLE, _WHOLE, max(0.0, left), 0)[0].running:
                break
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(f"{self!r} still runs after {max(0.0, timeout or 0.0):.1f} s")
        for helper in self._helpers:
            helper.join(None if end is None else max(0.0, end - time.monotonic()) + self._calls.limits.grace_sec)
            if helper.is_alive():
                raise TimeoutError(f"{self!r} has ended, and not all of its output has come")
            if helper.error:
                raise helper.error  # the command was killed for it
        most = self._max_output_bytes
        result, output = self.look(0, 0, 0.0, most, limit=most)
        told = self._result(result, output)
        if self._on_end is not None:  # now with its output
            self._on_end(told)
        return self._guard.checked(told)

    def explain(self, result: protocol.Result) -> None:
        """Raise ``SandboxLost`` where that is its end because its task's is."""
        self._guard.checked(self._result(result, {}))

    def _result(self, result: protocol.Result, output: Mapping[bytes, bytes]) -> ExecResult:
        return result_of(result, self._command, output.get(protocol.STDOUT, b""), output.get(protocol.STDERR, b""))

    def read(self, *, timeout: float = 0.0) -> bytes:
        """What it has said on stdout since the last ``read``; waits up to ``timeout`` seconds for the first byte."""
        return self._read_on(protocol.STDOUT, timeout)

    def read_stderr(self, *, timeout: float = 0.0) -> bytes:
        """The same for stderr."""
        return self._read_on(protocol.STDERR, timeout)

    def write(self, data: bytes | str, *, end: bool = False) -> None:
        """Write to its stdin; ``end`` closes it behind that.

        Returns when the process's pipe has all of it, as a local pipe would: who writes more than it reads, waits.
        """
        content = bytes_of("data", data)
        self._guard.through(lambda: self._stdin.write(content, end=end))

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; nothing happens if it has ended."""
        check_signal("number", number)
        self._send_signal(protocol.Signal(id=self.id, signal=int(number)))

    def kill(self) -> None:
        """End it and everything that it has started."""
        self._send_signal(protocol.Signal(id=self.id, signal=int(signal.SIGKILL), tree=True))

    def _send_signal(self, request: protocol.Signal) -> None:
        self._guard.through(lambda: self._calls.ask(request, protocol.Nothing))

    def _read_on(self, kind: bytes, timeout: float) -> bytes:
        check_pause("timeout", timeout)
        end = time.monotonic() + timeout
        offsets = {protocol.STDOUT: _WHOLE, protocol.STDERR: _WHOLE, kind: self._read[kind]}
        while True:
            left = max(0.0, end - time.monotonic())
            wait = min(left, _ONE_WAIT_SEC)
            result, output = self.look(offsets[protocol.STDOUT], offsets[protocol.STDERR], wait, _ONE_READ)
            if output[kind] or not result.running or left <= wait:
                self._read[kind] += len(output[kind])
                return output[kind]

    def look(
        self, stdout: int, stderr: int, wait: float, most: int, *, limit: int | None = None
    ) -> tuple[protocol.Result, dict[bytes, bytes]]:
        """How it stands, and of each stream ``most`` bytes from its offset on.

        Where a stream has more than the ``limit``, the file is named that has all of it.
        """
        limits = self._calls.limits
        streams = Streams(most, most, limits.idle_heartbeats)

        def once() -> protocol.Result:
            """Whose connection broke goes on where it broke: it may break on every way that is as long as an answer."""
            heard = [streams.of[kind].size for kind in (protocol.STDOUT, protocol.STDERR)]
            pause = 0.0 if any(heard) else wait
            request = protocol.Attach(
                id=self.id,
                stdout=stdout + heard[0],
                stderr=stderr + heard[1],
                wait=pause,
                limit=limit,
                most=most - max(heard),
            )
            asked_at = time.monotonic()
            patience = self._calls.patience(pause + limits.grace_sec, pause + limits.silence_sec)
            with self._calls.open(request, patience=patience) as answer:
                result = streams.read(answer)
            if result.running and not streams.size:
                # An honest server has waited for us. With one that does not, we shall not turn in circles.
                time.sleep(max(0.0, asked_at + pause - time.monotonic()))
            return result

        result = self._guard.through(lambda: self._calls.persistently(once, reached=lambda: streams.size))
        output = {kind: each.bytes() for kind, each in streams.of.items()}
        if not (result.running or self._has_told_its_end):
            self._has_told_its_end = True
            if self._on_end is not None:
                self._on_end(self._result(result, output))
        return result, output

"""``exec_remote`` as a sandbox of ours has it: output comes as it is said, and nothing is put into the sandbox for it.

Inspect's own one has tools injected, which it asks every five seconds.
"""

from __future__ import annotations

import codecs
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from inspect_ai.util import (
    ExecCompleted,
    ExecRemoteProcess,
    ExecRemoteStreamingOptions,
    ExecResult,
    ExecStderr,
    ExecStdout,
    SandboxEnvironmentLimits,
)

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.server.protocol import STDERR, STDOUT

if TYPE_CHECKING:
    from inspect_ai.util import ExecOutput, ExecRemoteAwaitableOptions
    from typing_extensions import Self

    from pytest_fargate_sandbox.async_sandbox import AsyncProcess, AsyncSandbox

_ONE_LOOK_SEC = 1.0
"""A look ends with the first byte that comes; so long it is in the way of whoever is cancelled."""
_ONE_LOOK_BYTES = 16 * 1024 * 1024


class FargateProcess(ExecRemoteProcess):
    """A process in the sandbox; iterate over it for what it says, once."""

    def __init__(self, process: AsyncProcess, *, has_stdin: bool) -> None:
        # Not super().__init__(): all that it makes is for talking to the injected tools.
        self._process = process
        self._has_stdin = has_stdin
        self._is_iterated = self._is_over = False
        self._events: deque[ExecOutput] = deque()
        self._heard = {STDOUT: 0, STDERR: 0}
        self._decoders = {kind: codecs.getincrementaldecoder("utf-8")("replace") for kind in self._heard}

    @classmethod
    async def begin(
        cls,
        sandbox: AsyncSandbox,
        cmd: list[str],
        options: ExecRemoteStreamingOptions | ExecRemoteAwaitableOptions,
        user: str | None,
    ) -> Self:
        """Raises what the start of a command raises."""
        stays_open = isinstance(options, ExecRemoteStreamingOptions) and options.stdin_open
        given = options.input.encode() if isinstance(options.input, str) else options.input
        process = await sandbox.spawn(
            cmd, cwd=options.cwd, env=options.env, user=user, stdin=None if stays_open else given or b""
        )
        if stays_open and given:
            try:
                await process.write(given)
            except BaseException:
                with suppress(SandboxError):
                    await sandbox.threads.finish(process.blocking.kill)
                raise
        return cls(process, has_stdin=stays_open)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __aiter__(self) -> Self:
        if self._is_iterated:
            raise RuntimeError("ExecRemoteProcess can only be iterated once")
        self._is_iterated = True
        return self

    async def __anext__(self) -> ExecOutput:
        try:
            while not self._events:
                if self._is_over:
                    raise StopAsyncIteration
                await self._look()
            return self._events.popleft()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), suppress(SandboxError):
                await self.kill()
            raise

    async def _look(self, wait: float = _ONE_LOOK_SEC, *, is_killed: bool = False) -> None:
        look, stdout, stderr = self._process.blocking.look, self._heard[STDOUT], self._heard[STDERR]
        most = _ONE_LOOK_BYTES
        result, output = await self._process.threads.run(lambda: look(stdout, stderr, wait, most), lambda: None)
        if self._is_over:  # killed meanwhile, and what it had said was taken by who did that
            return
        for kind, data in output.items():
            self._heard[kind] += len(data)
        is_whole = not result.running and not any(output.values())  # of what it said, all that could be kept has come
        for kind, event in ((STDOUT, ExecStdout), (STDERR, ExecStderr)):
            if text := self._decoders[kind].decode(output[kind], final=is_whole):
                self._events.append(event(data=text))
        if is_whole:
            if not is_killed:
                await self._process.threads.run(lambda: self._process.blocking.explain(result), lambda: None)
            self._is_over = True
            self._events.append(ExecCompleted(exit_code=-1 if result.return_code is None else result.return_code))

    async def write_stdin(self, data: str | bytes) -> None:
        self._check_stdin("write_stdin")
        if self._is_over:
            raise RuntimeError("Cannot write to stdin: process has terminated")
        await self._process.write(data)

    async def close_stdin(self) -> None:
        self._check_stdin("close_stdin")
        if not self._is_over:
            await self._process.write(b"", end=True)

    def _check_stdin(self, verb: str) -> None:
        if not self._has_stdin:
            raise RuntimeError(f"{verb}() requires stdin_open=True in ExecRemoteStreamingOptions")

    async def kill(self) -> None:
        """End it with all that it has started. What it had said can still be had; its end is no event then."""
        if self._is_over:
            return
        await self._process.kill()
        await self._look(0.0, is_killed=True)
        self._is_over = True
        self._events = deque(event for event in self._events if not isinstance(event, ExecCompleted))

    async def to_end(self, timeout: float | None) -> ExecResult[str]:
        """The latest of its output, as much as Inspect takes, and how it ended."""
        said = {ExecStdout: _Tail(), ExecStderr: _Tail()}
        code = -1
        try:
            with anyio.fail_after(timeout):
                async for event in self:
                    if isinstance(event, ExecCompleted):
                        code = event.exit_code
                    else:
                        said[type(event)].append(event.data)
        except TimeoutError:
            await self.kill()
            raise
        return ExecResult(code == 0, code, said[ExecStdout].text, said[ExecStderr].text)


class _Tail:
    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._most = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE

    def append(self, text: str) -> None:
        self._pieces.append(text.encode())
        self._size += len(self._pieces[-1])
        while self._size - len(self._pieces[0]) >= self._most:
            self._size -= len(self._pieces.popleft())

    @property
    def text(self) -> str:
        return b"".join(self._pieces)[-self._most :].decode("utf-8", "replace")

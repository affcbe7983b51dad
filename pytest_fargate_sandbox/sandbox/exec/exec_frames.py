"""What the answer to a command is made of, held to what an honest server says."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Literal

from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, parsed
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Disconnected, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable


_LONGEST_SEC = 1e12
_TAIL_BYTES = 8192


class OutputChunk(bytes):
    """A piece of output as it came; ``stream`` says which one it belongs to."""

    stream: Literal["stdout", "stderr"] = "stdout"


class Output:
    """One stream so far; many small pieces take no more memory than one large one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._whole = io.BytesIO()

    @property
    def size(self) -> int:
        return self._whole.tell()

    def expect(self, size: int) -> None:
        """Raises ``Malformed`` where so much more was not asked for."""
        if not size or self.size + size > self._most:
            raise Malformed(f"{self.size + size} bytes of output, where {self._most} were asked for")

    def append(self, data: bytes) -> None:
        self._whole.write(data)

    def bytes(self) -> bytes:
        return self._whole.getvalue()

    def text(self) -> str:
        """The end of it."""
        with self._whole.getbuffer() as whole:
            return whole[-_TAIL_BYTES:].tobytes().decode("utf-8", "replace")


class Streams:
    """Both streams, filled by the answers to ``run`` and ``attach``."""

    def __init__(self, stdout: int, stderr: int, idle_heartbeats: int) -> None:
        """The most that is wanted of each."""
        self.of = {protocol.STDOUT: Output(stdout), protocol.STDERR: Output(stderr)}
        self._idle_heartbeats = idle_heartbeats
        self._heartbeats = 0
        self._answers = 0
        self._since = time.monotonic()
        """No heartbeat is older, over however many connections they come."""

    @property
    def size(self) -> int:
        return sum(output.size for output in self.of.values())

    @property
    def news(self) -> int:
        """More than before where anything was heard."""
        return self.size + self._heartbeats

    def read(self, answer: Answer, on_output: Callable[[bytes, bytes], object] | None = None) -> protocol.Result:
        """All frames of an answer, which is nothing else; what stands at its end."""
        result = self.read_frames(answer, on_output)
        answer.end()
        return result

    def read_frames(self, answer: Answer, on_output: Callable[[bytes, bytes], object] | None = None) -> protocol.Result:
        """Up to the result."""
        self._answers += 1
        while True:
            kind, size = protocol.parse_frame_head(answer.payload.read_exactly(protocol.FRAME_HEAD_SIZE))
            if kind == protocol.RESULT:
                return self._result(answer, size)
            if kind == protocol.HEARTBEAT:
                self.count_heartbeat(size)
            elif kind in self.of:
                self._read_output(answer, kind, size, on_output)
            else:
                raise Malformed(f"{kind!r} is not a kind of frame")

    def _read_output(
        self, answer: Answer, kind: bytes, size: int, on_output: Callable[[bytes, bytes], object] | None
    ) -> None:
        self.of[kind].expect(size)
        while size:
            data = answer.payload.read(min(size, BLOCK))
            if not data:
                raise Disconnected("a frame ended early")
            size -= len(data)
            self.of[kind].append(data)
            if on_output:
                on_output(kind, data)

    def count_heartbeat(self, size: int) -> None:
        self._heartbeats += 1
        due = 2 * (time.monotonic() - self._since) / protocol.HEARTBEAT_SEC + self._answers
        if size or self._heartbeats > self._idle_heartbeats + due:
            pace = f"where an empty one comes every {protocol.HEARTBEAT_SEC} s"
            raise Malformed(f"{self._heartbeats} heartbeats, the last of {size} bytes, {pace}")

    def _result(self, answer: Answer, size: int) -> protocol.Result:
        if size > protocol.Result.LONGEST:
            raise Malformed(f"a result of {size} bytes")
        line = answer.payload.read_exactly(size)
        result = parsed(protocol.Result, line)
        assert isinstance(result, protocol.Result)
        if result.running != (result.return_code is None) or not 0 <= (result.return_code or 0) <= 255:
            raise Malformed(f"a command that runs ({result.running}) and has ended with {result.return_code!r:.80}")
        if (
            not 0 <= result.duration < _LONGEST_SEC
            or min(result.stdout_total, result.stderr_total, result.oom_kills, result.memory_limit) < 0
        ):
            raise Malformed("a command that has taken, or said, less than nothing")
        return result


def is_all(result: protocol.Result, stdout: int, stderr: int, *, is_silent: bool) -> bool:
    """Whether a command has ended and all that it said has come: so much of each stream, nothing now if ``is_silent``.

    Raises ``Malformed`` where the rest will never come.
    """
    totals = result.stdout_total, result.stderr_total
    if result.running or totals == (stdout, stderr):
        return not result.running
    if is_silent or totals[0] < stdout or totals[1] < stderr:
        raise Malformed(f"a command that has ended and said {totals} bytes, of which {(stdout, stderr)} came")
    return False

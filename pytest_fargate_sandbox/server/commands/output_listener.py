"""The client that listens to a command, on the connection on which it asked."""

from pytest_fargate_sandbox.server.protocol import HEARTBEAT, RESULT, STDERR, STDOUT, Result, frame_head
from pytest_fargate_sandbox.server.requests.http1 import Disconnected, answer_head, chunk, last_chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.commands.command import Command
    from pytest_fargate_sandbox.server.requests.exchange import Exchange

_FRAME = 256 * 1024
_BACKLOG = 4 * 1024 * 1024


class OutputListener:
    """Frames for one client. A command that ends soon is answered in one write, head and all."""

    def __init__(
        self,
        exchange: "Exchange",
        command: "Command",
        offsets: "dict[bytes, int]",
        limit: "int | None",
        most: "int | None" = None,
    ):
        self._exchange = exchange
        self._command = command
        self._positions = dict(offsets)
        self._limits = {
            kind: min(float("inf") if limit is None else limit, float("inf") if most is None else offset + most)
            for kind, offset in offsets.items()
        }
        self._unsent = memoryview(b"")
        self._head_is_out = False
        self.gone = False

    @property
    def is_blocked(self) -> bool:
        """The connection took no more; poll it for writing."""
        return bool(self._unsent) and not self.gone

    @property
    def is_behind(self) -> bool:
        """So far that its command had better wait."""
        return sum(self._available(kind) for kind in (STDOUT, STDERR)) > _BACKLOG and not self.gone

    @property
    def has_news(self) -> bool:
        return not self.gone and any(self._available(kind) for kind in (STDOUT, STDERR))

    def fileno(self) -> int:
        return self._exchange.fileno()

    def advance(self, wait: bool = False) -> None:
        """Send what there is; without ``wait`` only what the connection takes at once."""
        while not self.gone and self._push(wait):
            frames = self._take_frames()
            if not frames:
                return
            self._queue(frames)

    def stop_here(self) -> None:
        """What comes from now on is for another time: a command may speak as fast as we can send."""
        for kind in (STDOUT, STDERR):
            self._limits[kind] = min(self._limits[kind], self._command.outputs[kind].kept)

    def beat(self) -> None:
        """Let the client know that the command lives."""
        if not self._unsent:
            self._queue(frame_head(HEARTBEAT, 0))
        self._push(wait=False)

    def finish(self, result: Result) -> None:
        """Send the rest and the result. Raises ``Disconnected`` where not all of it can be sent."""
        text = result.to_json()
        end = frame_head(RESULT, len(text)) + text
        if not self._head_is_out:
            frames = self._take_frames()
            if not any(self._available(kind) for kind in (STDOUT, STDERR)):
                body = frames + end
                self._head_is_out = True
                self._push_last(answer_head(200, len(body), self._exchange.keep_alive) + body)
                return
            self._queue(frames)
        self.advance(wait=True)
        self._push_last(chunk(end) + last_chunk())

    def _push_last(self, data: bytes) -> None:
        self._unsent = memoryview(data)
        if self.gone or not self._push(wait=True):
            raise Disconnected("the client left its command, or the command was dropped", midway=False)

    def _available(self, kind: bytes) -> int:
        return max(0, int(min(self._command.outputs[kind].kept, self._limits[kind])) - self._positions[kind])

    def _take_frames(self) -> bytes:
        frames = []
        with self._command.changed:
            if self._command.is_dropped:
                self.gone = True  # Whoever comes back for it is told why.
                return b""
            for kind in (STDOUT, STDERR):
                most = min(_FRAME, self._available(kind))
                data = self._command.outputs[kind].read(self._positions[kind], most) if most else b""
                if data:
                    self._positions[kind] += len(data)
                    frames += [frame_head(kind, len(data)), data]
        return b"".join(frames)

    def _queue(self, frames: bytes) -> None:
        head = b"" if self._head_is_out else answer_head(200, None, self._exchange.keep_alive)
        self._head_is_out = True
        self._unsent = memoryview(head + chunk(frames))

    def _push(self, wait: bool) -> bool:
        """Whether nothing is left to send."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._exchange.send(self._unsent, wait) :]
        except BlockingIOError:
            return False
        except OSError:
            self.gone = True
        return not self.gone

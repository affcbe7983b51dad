"""A stdin that streams: its bytes come while the command runs and its output goes."""

import os
import select
import signal
import threading

from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.commands.command import Command
    from pytest_fargate_sandbox.server.requests.exchange import Exchange

_LOOK_MS = 500


class StdinFeeder(threading.Thread):
    """Carries a request's payload to its command, and reads what the command no longer wants."""

    def __init__(self, exchange: "Exchange", command: "Command") -> None:
        threading.Thread.__init__(self, name="stdin-" + command.id, daemon=True)
        self._exchange = exchange
        self._command = command

    def run(self) -> None:
        wanted = True
        try:
            for data in iter(self._exchange.payload.read, b""):
                wanted = wanted and write_all(self._command, data)
            self._command.close_stdin()
        except (Disconnected, Malformed, OSError):
            self._exchange.keep_alive = False
            if not self._command.ended and self._command.tree:
                # Half an input is no input: `cat > file` would call it a success.
                self._command.tree.send(signal.SIGKILL)


def write_all(command: "Command", data: bytes) -> bool:
    """Whether the command took it; False when it has ended or closed its stdin."""
    rest = memoryview(data)
    while rest:
        with command.changed:
            if command.ended or command.stdin is None:
                return False
            # A copy of our own, since the command's may be closed when it ends.
            file = os.dup(command.stdin)
        try:
            rest = rest[_write_some(file, rest) :]
        except OSError:
            return False
        finally:
            os.close(file)
    return True


def _write_some(file: int, data: memoryview) -> int:
    """Not a blocking write: a command may end, and a child of it hold its stdin and never read."""
    os.set_blocking(file, False)
    poller = select.poll()
    poller.register(file, select.POLLOUT)
    if not poller.poll(_LOOK_MS):
        return 0
    try:
        return os.write(file, data)
    except BlockingIOError:
        return 0

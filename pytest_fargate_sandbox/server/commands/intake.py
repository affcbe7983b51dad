"""What a command gets to read: each byte has its place, so that one that is sent again is taken once.

Whoever writes says where his bytes begin, and what of them is here already is passed over. What the command does not
take is not piled up: one block is held, and its writer waits.
"""

import os
import time

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import WRITE_SEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Callable

    from pytest_fargate_sandbox.server.commands.waker import Waker
    from pytest_fargate_sandbox.server.protocol import Write


class Intake:
    """Guarded by ``changed``. Others put in, and the command's pump passes on."""

    def __init__(self, command_id: str, changed: "threading.Condition") -> None:
        self._command_id = command_id
        self._changed = changed
        self._waker: "Waker | None" = None
        self.file: "int | None" = None
        """Where it goes: a pipe, a terminal; one that is polled for nothing else."""
        self._taken = 0
        self._block = memoryview(b"")
        self._is_whole = False

    def open(self, file: int, waker: "Waker") -> None:
        """``waker`` is the pump's."""
        os.set_blocking(file, False)
        self.file, self._waker = file, waker

    def close(self) -> None:
        """For good; what the command has not taken by now is nobody's."""
        with self._changed:
            file, self.file, self._waker = self.file, None, None
            self._block = memoryview(b"")
            if file is not None:
                os.close(file)
            self._changed.notify_all()

    # --- in -----------------------------------------------------------------------------------------------------
    def fill(self, whole: bytes) -> None:
        """All that there will be."""
        with self._changed:
            self._block, self._is_whole = memoryview(whole), True

    def take(self, request: "Write", read: "Callable[[], bytes]") -> int:
        """Put in what ``read`` gives, for as long as the command takes it in time; the byte that comes next."""
        deadline = time.monotonic() + WRITE_SEC
        offset = request.offset
        is_in = not request.skip or self._skip(offset, deadline)
        while is_in:
            data = read()
            if not data and (request.end or offset > request.offset):
                self._settle(offset, request.end, deadline)
            if not data:
                break
            is_in = self._put(offset, data, deadline)
            offset += len(data)
        return self._taken

    def _skip(self, offset: int, deadline: float) -> bool:
        with self._changed:
            while self._block and self._taken < offset:
                if not self._wait(deadline):
                    return False
            self._taken = max(self._taken, offset)
            return True

    def _put(self, offset: int, data: bytes, deadline: float) -> bool:
        """Whether it is in by then."""
        with self._changed:
            while self._taken + len(self._block) < offset + len(data):
                self._check_that_it_fits(offset)
                if not self._block:
                    self._block = memoryview(data)[self._taken - offset :]
                    # Nobody else is at it now: the pump polls only for a block that is there.
                    if self.pass_on() and self._waker:
                        self._waker.wake()
                    return True
                if not self._wait(deadline):
                    return False
            return True

    def _settle(self, offset: int, is_end: bool, deadline: float) -> None:
        """Once all is in: see that it is taken, and closed behind that if it was the end."""
        with self._changed:
            if self._taken + len(self._block) < offset:
                self._check_that_it_fits(offset)
            self._is_whole = self._is_whole or is_end
            if not self._block:
                self.pass_on()
            while self._block and self._wait(deadline):
                pass
            if not self._block and self._taken < offset:
                self._check_that_it_fits(offset)

    def _check_that_it_fits(self, offset: int) -> None:
        if self._is_whole or self.file is None:
            raise Failure("closed", "nobody reads the stdin of the command %s any more" % self._command_id)
        end = self._taken + len(self._block)
        if offset > end:
            raise Failure("bad_request", "write: byte %d cannot come before byte %d" % (offset, end))

    def _wait(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        return left > 0 and self._changed.wait(left)

    # --- out ----------------------------------------------------------------------------------------------------
    def pass_on(self) -> bool:
        """Give the command what it takes at once; whether that is not all."""
        with self._changed:
            try:
                while self._block and self.file is not None:
                    count = os.write(self.file, self._block)
                    self._taken += count
                    self._block = self._block[count:]
            except BlockingIOError:
                return True
            except OSError:
                self.close()  # Nobody reads it, as in any pipeline.
            if self._is_whole:
                self.close()
            self._changed.notify_all()
            return False

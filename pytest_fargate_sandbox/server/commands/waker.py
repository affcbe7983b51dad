"""A pipe on which a thread that polls can be woken."""

import os

ALARM = b"!"


class Waker:
    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def fileno(self) -> int:
        return self._read_end

    def wake(self) -> None:
        try:
            os.write(self._write_end, ALARM)
        except OSError:
            pass  # It is full: the thread has been woken often enough.

    def clear(self) -> None:
        try:
            os.read(self._read_end, 64)
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)

"""What a terminal says, until its client has it. What nobody fetches makes the program wait, as on a slow screen."""

from pytest_fargate_sandbox.server.failure import Failure

_SIZE = 1024 * 1024


class OutputWindow:
    """The last part of a stream that has no end; in place of ``KeptOutput``, which keeps all of one that has."""

    path = None
    is_named = False

    def __init__(self) -> None:
        self.total = 0
        self._start = 0
        self._data = bytearray()

    @property
    def kept(self) -> int:
        return self.total

    @property
    def held(self) -> int:
        return len(self._data)

    @property
    def lost(self) -> int:
        return 0

    @property
    def is_full(self) -> bool:
        return len(self._data) >= _SIZE

    def append(self, data: bytes) -> None:
        self._data += data
        self.total += len(data)

    def acknowledge(self, offset: int) -> None:
        """The client has all before this, and wants the rest."""
        if offset < self._start:
            raise Failure("forgotten", "what this terminal said before byte %d has been fetched" % self._start)
        if offset <= self.total:
            del self._data[: offset - self._start]
            self._start = offset

    def read(self, offset: int, most: int) -> bytes:
        first = offset - self._start
        return bytes(self._data[first : first + most])

    def spill(self) -> bool:
        return False

    def rest(self) -> bool:
        return not self._data

    def drop(self) -> None:
        self._data = bytearray()

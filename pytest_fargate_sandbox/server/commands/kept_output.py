"""One stream of a command's output, kept until nobody can ask for it any more: little in memory, the rest in a file."""

import os

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.work_dir import remove

IN_MEMORY = 64 * 1024
_AT_REST = 2 * 1024
MOST = 1024 * 1024 * 1024
"""What is kept of one stream: a command that never stops must not fill the disk of whoever runs this."""

_DISK_RESERVE = 64 * 1024 * 1024
_CHECK_EVERY = 16 * 1024 * 1024


class KeptOutput:
    """Grows at its end, is read anywhere. Not locked: it belongs to its command, which is."""

    def __init__(self, path: "bytes | None", owner: "tuple[int, int] | None" = None) -> None:
        self.path = path
        self.total = 0
        self.is_named = False
        """A result has named the file, which then is the user's."""
        self._owner = owner
        self._memory = bytearray()
        self._file: "int | None" = None
        self._is_filed = False
        self.kept = 0
        self._check_at = 0

    @property
    def lost(self) -> int:
        """Bytes that neither memory nor the disk could take. All that was lost, was lost at the end."""
        return self.total - self.kept

    def append(self, data: bytes) -> None:
        self.total += len(data)
        if self.lost > len(data):
            return  # A hole in the middle would be worse than a missing end.
        if not self._is_filed and self.kept + len(data) <= IN_MEMORY:
            self._memory += data
            self.kept += len(data)
        elif self._has_room() and self.spill():
            self.kept += self._store(data)

    @property
    def held(self) -> int:
        return self.kept

    is_full = False

    def acknowledge(self, offset: int) -> None:
        """It is kept none the less: whoever asks from the beginning gets it from the beginning."""

    def read(self, offset: int, most: int) -> bytes:
        most = min(most, self.kept - offset)
        if most <= 0:
            return b""
        if not self._is_filed:
            return bytes(self._memory[offset : offset + most])
        if self._file is not None:
            return os.pread(self._file, most, offset)
        file = self._reopen()
        try:
            return os.pread(file, most, offset)
        finally:
            os.close(file)

    def _reopen(self) -> int:
        try:
            return os.open(self.path or b"", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise Failure("forgotten", "what a command said is gone: %s" % error) from None

    def rest(self) -> bool:
        """Keep nothing long in memory, and no descriptor; nothing more comes. Whether all of it could be had so."""
        kept = self.kept
        if kept > _AT_REST and not (self.spill() and self.kept == kept):
            return False
        if self._file is not None:
            os.close(self._file)
            self._file = None
        return True

    def spill(self) -> bool:
        """Move it all into the file, which from then on holds the whole stream."""
        if self._is_filed:
            return True
        if self.path is None:
            return False
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if self._owner:
                os.fchown(self._file, *self._owner)
        except OSError:
            return False
        self._is_filed = True
        self.kept = self._store(self._memory)
        self._memory = bytearray()
        return True

    def drop(self) -> None:
        self._memory = bytearray()
        self.kept = 0
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._is_filed and not self.is_named and self.path is not None:
            remove(self.path)

    def _store(self, data: "bytes | bytearray") -> int:
        assert self._file is not None
        stored = 0
        try:
            while stored < len(data):
                stored += os.write(self._file, data[stored:] if stored else data)
        except OSError:
            pass  # The disk is full: what fits, fits.
        return stored

    def _has_room(self) -> bool:
        """A chatty command must not take the last of the sandbox's disk."""
        if self.kept >= MOST:
            return False
        if self.total < self._check_at:
            return True
        self._check_at = self.total + _CHECK_EVERY
        if self.path is None:
            return False
        try:
            disk = os.statvfs(os.path.dirname(self.path))
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize > _DISK_RESERVE

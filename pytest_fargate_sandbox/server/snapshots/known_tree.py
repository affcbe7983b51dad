"""What a tree was like: the facts of each entry, what its content was, and by what it is known that nobody touched it.

Whoever writes to a file, or changes its mode, its owner or its mtime, changes its ctime, which nobody can set: an entry
whose inode and ctime are the same was not touched. https://man7.org/linux/man-pages/man7/inode.7.html
"""

import hashlib
import os
import stat
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    Entries = list[tuple[bytes, os.stat_result]]

_FACTS = struct.Struct("<HIIQ32s")
_SIGNATURE = struct.Struct("<QQ")
_LENGTH = struct.Struct("<H")
_64_BITS = (1 << 64) - 1
_BLOCK = 256 * 1024

UNSIGNED = bytes(_SIGNATURE.size)
"""Of an entry that may have been touched."""

NO_CONTENT = bytes(32)
UNKNOWN_CONTENT = b"\xff" * 32
"""Of a file with holes, which may be larger than anybody would read."""

TICK_SEC = 0.012
"""A ctime is the last tick of the kernel's clock, of which there are 100 in a second at least: what is written within
the same tick has the same one."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not blocking, or a FIFO that has just come to stand there would keep us for ever."""


class Row:
    """Of one entry, unpacked."""

    def __init__(self, facts: bytes) -> None:
        self.mode, self.uid, self.gid, self.size, self.content = _FACTS.unpack(facts)

    @property
    def at(self) -> "int | None":
        """Where its content begins in the snapshot, if that is how it is known."""
        return int.from_bytes(self.content[24:], "big") if self.content[:24] == _AT else None

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


_AT = b"at".ljust(24, b"\0")


def content_at(offset: int) -> bytes:
    """What stands for content that begins there in a snapshot."""
    return _AT + offset.to_bytes(8, "big")


def content_of_link(target: bytes) -> bytes:
    return hashlib.sha256(target).digest()


def content_of_file(file: int, most: int) -> bytes:
    """Of so many bytes and one more: who has more has other content anyway."""
    digest = hashlib.sha256()
    offset = 0
    while offset <= most:
        data = os.pread(file, min(_BLOCK, most + 1 - offset), offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    return digest.digest()


class KnownDirectory:
    """Its entries in order of name, side by side, so that two of them are compared at once."""

    __slots__ = ("_facts", "names", "signatures")

    def __init__(self, rows: "dict[bytes, tuple[bytes, bytes]]") -> None:
        names = sorted(rows)
        self.names = b"/".join(names)
        self.signatures = b"".join(rows[name][1] for name in names)
        self._facts = b"".join(rows[name][0] for name in names)

    def __len__(self) -> int:
        return len(self.signatures) // _SIGNATURE.size

    def rows(self) -> "Iterator[tuple[bytes, bytes, bytes]]":
        """The name, the facts and the signature of each."""
        for index, name in enumerate(self.names.split(b"/") if self.names else ()):
            begin, at = index * _FACTS.size, index * _SIGNATURE.size
            yield name, self._facts[begin : begin + _FACTS.size], self.signatures[at : at + _SIGNATURE.size]


class KnownTree:
    """``exclude`` are the globs of what it does not know of."""

    def __init__(self, exclude: "list[str]", owner: "Callable[[int, int], tuple[int, int]]") -> None:
        """``owner`` says of a user and a group whose an entry is, as far as that matters here."""
        self.exclude = exclude
        self.directories: "dict[bytes, KnownDirectory]" = {}
        self._owner = owner
        self._growing: "dict[bytes, dict[bytes, tuple[bytes, bytes]]]" = {}

    def __len__(self) -> int:
        return sum(map(len, self.directories.values()))

    # --- while it becomes known -----------------------------------------------------------------------------------
    def note(self, path: bytes, status: os.stat_result, content: bytes, now: float) -> None:
        """``status`` is from before the content was read, and that not from before ``now``."""
        self.put(path, self.facts(status, content), signature(status) if _is_old(status, now) else UNSIGNED)

    def put(self, path: bytes, facts: bytes, signed: bytes = UNSIGNED) -> None:
        directory, _, name = path.rpartition(b"/")
        self._growing.setdefault(directory, {})[name] = (facts, signed)

    def put_described(self, path: bytes, facts: bytes) -> None:
        row = Row(facts)
        uid, gid = self._owner(row.uid, row.gid)
        self.put(path, _FACTS.pack(row.mode, uid, gid, row.size, row.content))

    def note_content(self, path: bytes, content: bytes) -> None:
        """What else is to be known of it comes with ``sign``."""
        self.put(path, _FACTS.pack(0, 0, 0, 0, content))

    def content_of(self, path: bytes) -> bytes:
        """Of what was noted before; a hard link has that of the first name."""
        directory, _, name = path.rpartition(b"/")
        return bytes(Row(self._growing[directory][name][0]).content)

    def settle(self) -> "KnownTree":
        """All of it was noted."""
        self.directories = {path: KnownDirectory(rows) for path, rows in self._growing.items()}
        self._growing = {}
        return self

    def sign(self, root: bytes) -> None:
        """What was noted has come to stand there, and from now on it may be touched."""
        time.sleep(TICK_SEC)
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sign(directory, b"")
        finally:
            os.close(directory)
        self.settle()

    def _sign(self, directory: int, path: bytes) -> None:
        noted = self._growing.get(path, {})
        for name, (facts, _) in noted.items():
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                noted[name] = (self.facts(status, Row(facts).content), signature(status))
                if not stat.S_ISDIR(status.st_mode):
                    continue
                below = os.open(name, DIRECTORY, dir_fd=directory)
            except OSError:  # what runs there has taken it away already, or the tenant may not look into it
                continue
            try:
                self._sign(below, os.path.join(path, name))
            finally:
                os.close(below)

    # --- when it is known -----------------------------------------------------------------------------------------
    def facts(self, status: os.stat_result, content: bytes) -> bytes:
        uid, gid = self._owner(status.st_uid, status.st_gid)
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        return _FACTS.pack(status.st_mode, uid, gid, size, content)

    def below(self, path: bytes) -> "Iterator[bytes]":
        """All that was in a directory."""
        todo = [path]
        while todo:
            directory = todo.pop()
            for name, facts, _ in self.directories[directory].rows() if directory in self.directories else ():
                yield os.path.join(directory, name)
                if Row(facts).is_directory:
                    todo.append(os.path.join(directory, name))


def description(path: bytes, mode: int, owner: "tuple[int, int]", size: int, content: bytes) -> bytes:
    """Of one entry, for who has never seen it."""
    return _FACTS.pack(mode, owner[0], owner[1], size, content) + _LENGTH.pack(len(path)) + path


def described(read_exactly: "Callable[[int], bytes]") -> "Iterator[tuple[bytes, bytes]]":
    """The path and the facts of each, until one without a path."""
    while True:
        facts = read_exactly(_FACTS.size)
        path = read_exactly(_LENGTH.unpack(read_exactly(_LENGTH.size))[0])
        if not path:
            return
        yield path, facts


def signature(status: os.stat_result) -> bytes:
    return _SIGNATURE.pack(status.st_ino & _64_BITS, status.st_ctime_ns & _64_BITS)


def signatures(entries: "Entries") -> bytes:
    numbers = []
    for _, status in entries:
        numbers.append(status.st_ino)
        numbers.append(status.st_ctime_ns & _64_BITS)
    return struct.pack("<%dQ" % len(numbers), *numbers)


def _is_old(status: os.stat_result, now: float) -> bool:
    return status.st_ctime < now - TICK_SEC


def are_old(entries: "Iterable[tuple[bytes, os.stat_result]]", now: float) -> bool:
    """Whether whoever touches one of them from ``now`` on gives it another ctime."""
    return all(_is_old(status, now) for _, status in entries)


def listed(directory: int) -> "Entries":
    """What is in it, in order of name, without what goes away meanwhile."""
    found = []
    # Python 3.6 has no ``scandir`` of a descriptor. https://docs.python.org/3/library/os.html#os.scandir
    with os.scandir(directory if os.scandir in os.supports_fd else "/proc/self/fd/%d" % directory) as entries:
        for entry in entries:
            try:
                found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
            except OSError:  # noqa: PERF203
                pass
    found.sort(key=_name)
    return found


def _name(entry: "tuple[bytes, Any]") -> bytes:
    return entry[0]

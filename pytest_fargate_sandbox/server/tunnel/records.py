"""Numbered records, the unit in which all goes through a tunnel.

The SSM agent hands on a message twice when its own connection breaks at the wrong moment. So a record is never spread
over two messages, and its number tells whether it came before.
"""

import struct

OPEN, OPENED, REFUSED, DATA, ROOM, END, RESET, LISTEN, BEAT = range(9)
"""``OPEN`` names the port that the stream is for; from inside, the listener that it came to. ``OPENED`` and ``REFUSED``
answer it, and ``LISTEN``, with the port or with why not. ``ROOM``: so many more bytes may come. ``END``: of one
direction. ``RESET``: of both, at once. A ``BEAT`` says that somebody is there; to one of the client's comes another.
"""

_HEAD = struct.Struct(">IHBI")
HEAD_SIZE = _HEAD.size
MAX_DATA = 0xFFFF
_NUMBERS = 1 << 32
_FIRST = b"\0\0\0\0"


class Broken(Exception):
    """What came is not what the other end of a tunnel would say."""


class Record:
    """``stream`` is what it is about; the end that asks first has odd numbers, the other one even ones."""

    def __init__(self, kind: int, stream: int, data: bytes = b"") -> None:
        self.kind = kind
        self.stream = stream
        self.data = data


class RecordWriter:
    def __init__(self) -> None:
        self._next = 0

    def record(self, kind: int, stream: int, data: bytes = b"") -> bytes:
        number, self._next = self._next, (self._next + 1) % _NUMBERS
        return _HEAD.pack(number, len(data), kind, stream) + data


class RecordReader:
    """What is before the first record is a request that came twice: it has no zeros in it, and the first number has."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._expected = 0
        self._has_begun = False

    def feed(self, data: bytes) -> "list[Record]":
        """The records that are whole now. Raises ``Broken`` where one is missing."""
        self._buffer += data
        if not self._has_begun and not self._begin():
            return []
        records = []
        at = 0
        while len(self._buffer) - at >= HEAD_SIZE:
            number, length, kind, stream = _HEAD.unpack_from(self._buffer, at)
            end = at + HEAD_SIZE + length
            if end > len(self._buffer):
                break
            behind = (self._expected - number) % _NUMBERS
            if behind >= _NUMBERS // 2:
                raise Broken("record %d comes, and %d is the next one" % (number, self._expected))
            if not behind:
                records.append(Record(kind, stream, bytes(self._buffer[at + HEAD_SIZE : end])))
                self._expected = (self._expected + 1) % _NUMBERS
            at = end
        del self._buffer[:at]
        return records

    def _begin(self) -> bool:
        found = self._buffer.find(_FIRST)
        self._has_begun = found >= 0
        del self._buffer[: found if self._has_begun else -3]
        return self._has_begun

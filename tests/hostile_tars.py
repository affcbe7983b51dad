"""Archives that no honest ``tar`` writes, for whoever unpacks one. Each has a good member before the bad one."""

from __future__ import annotations

import io
import tarfile

GIB = 1 << 30
_END = bytes(1024)


def _header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, mtime: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.linkname = kind, size, mtime, link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _patched(header: bytes, at: int, data: bytes) -> bytes:
    """With other bytes in it, and a checksum that is right again."""
    blank = header[:at] + data + header[at + len(data) :]
    blank = blank[:148] + b" " * 8 + blank[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def _described(records: dict[str, str], header: bytes, content: bytes = b"") -> bytes:
    """A member with a pax header before its own."""
    body = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        size = len(rest) + 1
        while len(str(size)) + len(rest) != size:
            size += 1
        body += str(size).encode() + rest
    return _header("description", tarfile.XHDTYPE, len(body)) + _filled(body) + header + _filled(content)


def _sparse_of_old() -> bytes:
    """A header that says: 8 GiB, all of it a hole."""
    header = _patched(_header("hole", tarfile.GNUTYPE_SPARSE), 483, b"%011o\0" % (8 * GIB))
    return _patched(header, 386, b"%011o\0%011o\0" % (8 * GIB, 0))


def _sparse_of_pax(map_of_it: bytes) -> bytes:
    records = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "hole",
        "GNU.sparse.realsize": str(8 * GIB),
    }
    return _described(records, _header("hole", size=len(map_of_it)), map_of_it)


_GOOD = _header("aaa-good", size=5) + _filled(b"good\n")
_FAR = _patched(_header("far"), 136, b"\x80" + (1 << 80).to_bytes(11, "big"))

SMALL = {
    "a sparse file of 8 GiB": _sparse_of_old(),
    "a sparse file of 8 GiB, by pax": _sparse_of_pax(_filled(b"1\n%d\n0\n" % (8 * GIB))),
    "a map of a sparse file that never ends": _sparse_of_pax(b"9999999\n1"),
    "a path 3,000 deep": _described({"path": "d/" * 3000 + "file"}, _header("file")),
    "a directory 3,000 deep": _described({"path": "d/" * 3000}, _header("d", tarfile.DIRTYPE)),
    "a name of 300 characters": _described({"path": "n" * 300}, _header("file")),
    "a path of 5,000 characters": _described({"path": "/".join(["n" * 200] * 25)}, _header("file")),
    "a time beyond all numbers": _described({"mtime": "1e400"}, _header("late")),
    "a time that is none": _described({"mtime": "nan"}, _header("never")),
    "a time in the year 10^16": _FAR,
    "a size that is none": _described({"size": "x"}, _header("file")),
    "a size below zero": _patched(_header("file"), 124, b"\xff" * 12),
    "a link with a zero in it": _described({"linkpath": "a\0b"}, _header("link", tarfile.SYMTYPE, link="x")),
    "a link to nothing": _header("link", tarfile.SYMTYPE),
    "a file in a file": _header("aaa-good/file"),
    "a directory in the place of a file": _header("aaa-good", tarfile.DIRTYPE),
    "descriptions of descriptions": _described({"path": "d"}, b"") * 3000 + _header("file"),
    "a description of 8 GiB": _header("description", tarfile.XHDTYPE, 8 * GIB - 1),
    "a name of 8 GiB": _header("name", tarfile.GNUTYPE_LONGNAME, 8 * GIB - 1),
    "a description that is none": _header("description", tarfile.XHDTYPE, 9) + _filled(b"99 a=bcd\n"),
    "a member with half a header": _header("half")[:100],
}
SMALL = {name: _GOOD + bad + _END for name, bad in SMALL.items()}


def of_old_gnu_tar() -> bytes:
    """An honest one, with a long name and a long link written as GNU tar's default does."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("/".join(["directory"] * 20) + "/" + "n" * 200)
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, info.name
        archive.addfile(link)
    return buffer.getvalue()


ENDLESS = {
    "a description without end": (_GOOD + _header("description", tarfile.XHDTYPE, 8 * GIB - 1), bytes(65536)),
    "a file without end": (_GOOD + _header("file", size=8 * GIB - 1), bytes(65536)),
    "zeros behind its end": (_GOOD + _END, bytes(65536)),
}
"""What to send once, and what to send for ever behind it."""


def of_many(count: int) -> bytes:
    """So many directories, of which it names every fourth only."""
    names = (f"{number}/b/c/d" for number in range(count // 4))
    return _GOOD + b"".join(_header(name, tarfile.DIRTYPE) for name in names) + _END

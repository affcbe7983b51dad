"""What a lying server says, what is asked of it, and what its client may say, take and keep."""

from __future__ import annotations

import hashlib
import json
import tarfile
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.server.snapshots.snapshot_format import Facts
from tests import hostile_tars
from tests.lying_server import (
    CHUNKED,
    END,
    FILE,
    MIB,
    Talk,
    chunk,
    frame,
    line,
    result,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECONDS = 5.0
MEGABYTES = 40
"""Python and the client take 15 of them."""

BREAKS = {"breaks_sec": 1.0}
DRIP = {"work_sec": 1.0, "health_sec": 1.0, "grace_sec": 0.5, "fetch_sec": 1.0}
"""Nobody has ten minutes for a test: less patience than a real client has."""


class Row(NamedTuple):
    act: str
    lie: Callable[[Talk], object]
    says: str
    """A part of the error's sentence."""
    limits: Mapping[str, float] = MappingProxyType({})
    seconds: float = SECONDS
    megabytes: float = MEGABYTES


def then_for_ever(*first: bytes, piece: bytes, pause: float = 0.0) -> Callable[[Talk], None]:
    def lie(talk: Talk) -> None:
        talk.send(*first)
        talk.send_for_ever(piece, pause)

    return lie


def flood(*first: bytes, of: bytes = bytes(MIB)) -> Callable[[Talk], None]:
    """An answer that begins like this and goes on like that."""
    return then_for_ever(CHUNKED, *map(chunk, first), piece=chunk(of))


def drip(*first: bytes, of: bytes = b"x") -> Callable[[Talk], None]:
    """The same, slowly."""
    return then_for_ever(CHUNKED, *map(chunk, first), piece=chunk(of), pause=0.05)


def just(*parts: bytes) -> Callable[[Talk], None]:
    """Say this, and wait for what comes next."""
    return lambda talk: talk.send(*parts)


def says(message: bytes) -> Callable[[Talk], None]:
    return lambda talk: talk.answer(message)


def frames(*parts: bytes) -> Callable[[Talk], None]:
    return just(CHUNKED, chunk(b"".join(parts)), END)


def spawned_then(lie: Callable[[Talk], object]) -> Callable[[Talk], object]:
    return lambda talk: talk.answer(line(pid=7)) if talk.verb == "spawn" else lie(talk)


def file_of(content: bytes, digest: str = "", head: bytes = FILE) -> bytes:
    digest = digest or hashlib.sha256(head + content).hexdigest()
    return b"".join([CHUNKED, chunk(head + content), b"0\r\nsha256: %s\r\n\r\n" % digest.encode()])


def digested(*lines: bytes) -> Callable[[Talk], None]:
    whole = b"".join(lines)
    return just(CHUNKED, chunk(whole), b"0\r\nsha256: %s\r\n\r\n" % hashlib.sha256(whole).hexdigest().encode())


ONE = tarfile.TarInfo("one").tobuf(tarfile.PAX_FORMAT)


def snapshot(members: int = 1, digest_of: bytes = ONE) -> Callable[[Talk], None]:
    """Of one member, of which it says this."""
    return just(file_of(b"", head=ONE + Facts(members=members).end(hashlib.sha256(digest_of))))


def is_directory(talk: Talk) -> bool:
    """Whether the question was for a file; then it is answered, and the tree is asked for next."""
    if talk.verb == "read-file":
        talk.answer(
            json.dumps({"error": {"kind": "is_directory", "message": "m", "errno": 21, "path": "p"}}).encode(), 409
        )
        return True
    return False


def tree(*content: bytes, digest: str = "") -> Callable[[Talk], None]:
    whole = b"".join(content)

    def lie(talk: Talk) -> None:
        if not is_directory(talk):
            proof = digest or hashlib.sha256(whole).hexdigest()
            talk.send(CHUNKED, chunk(whole), b"0\r\nsha256: %s\r\n\r\n" % proof.encode())

    return lie


def tree_for_ever(first: bytes, piece: bytes) -> Callable[[Talk], None]:
    def lie(talk: Talk) -> None:
        if not is_directory(talk):
            talk.send(CHUNKED, chunk(first))
            talk.send_for_ever(chunk(piece))

    return lie


def cut_after_a_byte(talk: Talk) -> None:
    """Each connection brings something, and no end."""
    talk.send(CHUNKED, chunk(frame(b"o", b"x")))
    raise OSError("the connection ends")


def cut_after_a_heartbeat(talk: Talk) -> None:
    talk.send(CHUNKED, chunk(frame(b"k")))
    raise OSError("the connection ends")


def unknown(talk: Talk) -> None:
    body = {"error": {"kind": "unknown_command", "message": "what command?", "errno": None, "path": ""}}
    talk.answer(json.dumps(body).encode(), 404)


A_MEGABYTE = frame(b"o", bytes(MIB))
STATUS = {"kind": "file", "size": 1, "mode": 0o644, "uid": 0, "gid": 0, "mtime_ns": 0}
DEEP = b"[" * 200_000

ROWS = {
    # The head of an answer.
    "headers without end": Row(
        "list", then_for_ever(b"HTTP/1.1 200 OK\r\n", piece=b"A: b\r\n" * 1000), "a head is longer"
    ),
    "a header without end": Row(
        "exec", then_for_ever(b"HTTP/1.1 200 OK\r\nA: ", piece=b"x" * 65536), "a head is longer"
    ),
    "another protocol": Row("exec", just(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "is not an HTTP answer"),
    "a head that drips": Row(
        "list", then_for_ever(b"HTTP/1.1 200 OK\r\n", piece=b"A", pause=0.05), "no end of it", DRIP
    ),
    "a length and chunks": Row(
        "exec", just(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"), "nothing else"
    ),
    "a length of 10 GB": Row("list", just(sized(10**10)), "must be chunked"),
    "a chunk's size without end": Row("list", then_for_ever(CHUNKED, piece=b"0" * 4096), "size of a chunk is longer"),
    "trailers without end": Row(
        "list", then_for_ever(CHUNKED, chunk(line(names=[])), b"0\r\n", piece=b"A: b\r\n" * 1000), "trailers is longer"
    ),
    # What could not be done.
    "a failure without end": Row(
        "list", then_for_ever(CHUNKED.replace(b"200", b"500"), piece=chunk(bytes(MIB))), "longer than 65536 bytes"
    ),
    "a failure that drips": Row(
        "list", then_for_ever(CHUNKED.replace(b"200", b"500"), piece=chunk(b"x"), pause=0.05), "no end of it", DRIP
    ),
    "a failure that says nothing": Row("list", just(sized(2, 500), b"[]"), "internal"),
    "a failure that is deep": Row("list", just(sized(60_000, 404), DEEP[:60_000]), "internal"),
    "a failure of other types": Row(
        "list",
        just(
            sized(68, 404),
            json.dumps({"error": {"kind": [], "message": {}, "errno": "x", "path": 5}}).encode().ljust(68),
        ),
        "internal",
    ),
    "an unknown command, always": Row("exec", unknown, "what command", BREAKS),
    # Short answers.
    "a listing without end": Row("list", flood(of=b'"name", ' * 10_000), "longer than 16777216 bytes"),
    "a listing of other things": Row("list", just(sized(20), b'{"names": [1, 2, 3]}'), "cannot be [1, 2, 3]"),
    "a listing of paths": Row("list", says(line(names=["x", "../../x"])), "something is called '../../x'"),
    "a file of less than nothing": Row("stat", says(line(**{**STATUS, "size": -1})), "that none has"),
    "a file that is nobody's": Row("stat", says(line(**{**STATUS, "uid": -1})), "that none has"),
    "a file of another mode": Row("stat", says(line(**{**STATUS, "mode": 1 << 20})), "that none has"),
    "a listing that is deep": Row("list", just(sized(len(DEEP)), DEEP), "not JSON"),
    "a listing of objects": Row(
        "list",
        just(CHUNKED, chunk(b'{"names": ['), *[chunk(b"{}," * 300_000)] * 17, chunk(b"{}]}"), END),
        "cannot be",
        seconds=10,
        megabytes=500,
    ),
    "a listing with more behind it": Row(
        "list", just(CHUNKED, chunk(line(names=[])), chunk(b"x"), END), "more comes behind"
    ),
    "an answer that drips": Row("configure", drip(), "no end of it", DRIP),
    "silence after an upload": Row("write", Talk.wait, "fell silent", {"work_sec": 1.0, **BREAKS}),
    "silence": Row("list", Talk.wait, "hangs: for 0.2 s it has said nothing", {"silence_sec": 0.1, "health_sec": 0.1}),
    "a word too much after an upload": Row("write", just(sized(9), b'{"a": "b"'), "not JSON"),
    "a fetch that drips": Row("fetch", drip(), "no end of it", DRIP),
    "a process without a number": Row("spawn", just(sized(12), b'{"pid": "7"}'), "cannot be '7'"),
    "a signal with a story": Row("signal", spawned_then(flood()), "longer than 65536"),
    # Commands.
    "heartbeats without end": Row("exec", drip(of=frame(b"k")), "no end of it within 1.0 s", DRIP),
    "a storm of heartbeats": Row("exec without time-out", flood(of=frame(b"k") * 1000), "heartbeats"),
    "a heartbeat of 4 GB": Row(
        "exec", flood(frame(b"k", size=2**32 - 1)), "1 heartbeats, the last of 4294967295 bytes"
    ),
    "more output than asked for": Row("exec of little output", flood(of=A_MEGABYTE), "where 1000 were asked for"),
    "output of 4 GB": Row("exec", flood(frame(b"o", size=2**32 - 1)), "where 134217728 were asked for"),
    "output without end": Row("exec", flood(of=A_MEGABYTE), "where 134217728 were asked for", megabytes=180),
    "output of nothing, for ever": Row("exec", flood(of=frame(b"o") * 1000), "0 bytes of output"),
    "output in crumbs": Row(
        "exec",
        just(CHUNKED, *[chunk(frame(b"o", b"xy") * 100_000)] * 4, chunk(result(stdout_total=800_000)), END),
        "",
        seconds=10,
        megabytes=25,
    ),
    "output that drips": Row("exec", drip(of=frame(b"o", b"x")), "no end of it within 1.0 s", DRIP),
    "a byte for each connection": Row("exec", cut_after_a_byte, "no end of it within 1.0 s", DRIP),
    "a result of 4 GB": Row("exec", flood(frame(b"r", size=2**32 - 1)), "a result of 4294967295 bytes"),
    "a result with more behind it": Row("exec", flood(result()), "more comes behind"),
    "a result that is no JSON": Row("exec", frames(frame(b"r", b"{" * 1000)), "not JSON"),
    "a result of other fields": Row("exec", frames(result(surprise=1)), "unknown field"),
    "less than what came": Row("exec", frames(frame(b"o", b"12345"), result(stdout_total=4)), "with less than the 5"),
    "less than nothing": Row("exec", frames(result(stdout_total=-1)), "less than nothing"),
    "fewer killed than none": Row("exec", frames(result(oom_kills=-1)), "less than nothing"),
    "an end before the beginning": Row("exec", frames(result(duration=-5)), "less than nothing"),
    "an end that is none": Row("exec", frames(result(running=True, return_code=None)), "an end before the end"),
    "a code that is none": Row("exec", frames(result(return_code=10**300)), "'return_code' cannot be 10000"),
    "a frame of an unknown kind": Row("exec", frames(frame(b"?", b"what")), "is not a kind of frame"),
    "frames where stdin was going": Row("exec with stdin", spawned_then(frames(frame(b"?"))), "is not a kind of frame"),
    "more taken than there was": Row(
        "type", spawned_then(just(sized(21), b'{"offset": 123456789}')), "has taken 123456789 bytes of 1000000"
    ),
    "a heartbeat for each connection": Row("exec", cut_after_a_heartbeat, "no end of it within 1.0 s", DRIP),
    # Many commands.
    "a command that was not asked for": Row("batch", frames(frame(b"n", size=2), result()), "of command 2, where 2"),
    "a command that ends twice": Row("batch", flood(of=frame(b"n", size=1) + result()), "of command 1, where 2"),
    "more output of many than asked for": Row("batch", flood(frame(b"n"), of=A_MEGABYTE), "where 1000 were asked for"),
    "a failure of many, of 4 GB": Row(
        "batch", flood(frame(b"f"), frame(b"r", size=2**32 - 1)), "a failure of 4294967295 bytes"
    ),
    "heartbeats of many without end": Row("batch", drip(of=frame(b"k")), "no end of it within 1.0 s", DRIP),
    "a heartbeat of many for each connection": Row(
        "batch", cut_after_a_heartbeat, "heartbeats, the last of 0 bytes", {"idle_heartbeats": 10, **DRIP}
    ),
    # Processes.
    "output where none was asked for": Row(
        "poll", spawned_then(frames(A_MEGABYTE, result())), "where 0 were asked for"
    ),
    "more than one read": Row("read stdout", spawned_then(flood(of=A_MEGABYTE)), "were asked for", megabytes=110),
    "running and not": Row(
        "poll", spawned_then(frames(result(running=True))), "a command that runs (True) and has ended with 0"
    ),
    "output that is told and never comes": Row("follow", spawned_then(frames(result(stdout_total=9))), "(0, 0) came"),
    "heartbeats of a process": Row("wait", spawned_then(drip(of=frame(b"k"))), "no end of it", DRIP),
    # Files.
    "a file for memory without end": Row(
        "read", flood(FILE), "too many for memory", {"memory_bytes": 64 * MIB}, megabytes=110
    ),
    "a file without end": Row("save", flood(FILE), "and no end of them", {"disk_bytes": 64 * MIB}),
    "a file for the last of the disk": Row(
        "save", flood(FILE), "the last of the disk", {"disk_reserve_bytes": 1 << 60}
    ),
    "a file that drips": Row("save", drip(FILE), "no end of it", DRIP),
    "a file with a false digest": Row(
        "save", just(file_of(b"content", "0" * 64)), "its digest is not that of what came"
    ),
    "a file without a digest": Row(
        "read", just(CHUNKED, chunk(FILE + b"content"), END), "its digest is not that of what came"
    ),
    "a description without end": Row("read", flood(), "longer than 4096 bytes"),
    "a time that no file has": Row(
        "save", just(file_of(b"x", head=line(mode=420, mtime_ns=10**40))), "'mtime_ns' cannot be 10000"
    ),
    "a mode that no file has": Row("save", just(file_of(b"x", head=line(mode=-20, mtime_ns=0))), "the mode -20"),
    # Artifacts.
    "artifacts without end": Row("list artifacts", flood(of=frame(b"f", b'{"path": "x"}') * 1000), "than was asked"),
    "more of an artifact than asked for": Row("read artifact", flood(of=frame(b"d", b"x" * 600)), "than was asked for"),
    "an artifact of 4 GB": Row("read artifact", flood(frame(b"d", size=2**32 - 1)), "more comes than was asked for"),
    "an artifact that drips": Row("read artifact", drip(of=frame(b"d", b"x")), "no end of it within 1.0 s", DRIP),
    "facts that are none": Row("read artifact", frames(frame(b"?", b"{}")), "facts that are none"),
    "an artifact without an end": Row("read artifact", frames(frame(b"d", b"x")), "it ends in the middle"),
    "an artifact without a digest": Row("read artifact", frames(frame(b"f", b'{"last": true}')), "its digest is not"),
    "bytes of nothing, for ever": Row("list artifacts", flood(of=frame(b"d") * 1000), "than was asked for"),
    "paths that no file has": Row(
        "list artifacts", flood(of=frame(b"f", line(path="x" * 200_000))), "facts that are none"
    ),
    "reasons without end": Row(
        "collect", flood(of=frame(b"f", line(path="x", why="y" * 200_000))), "facts that are none"
    ),
    # Slots.
    "another slot than was asked for": Row(
        "lease a slot", says(line(number=7, home="/x", user="y")), "slot 7, where slot 1 was asked for"
    ),
    "an isolation that nobody asked for": Row(
        "open slots", says(line(isolation="none", states=["free"] * 2, retired_for=["", ""])), "isolation 'none'"
    ),
    "fewer slots than were asked for": Row(
        "open slots", says(line(isolation="namespace", states=["free"], retired_for=[""])), "1 slots"
    ),
    # Terminals.
    "an end whose output never comes": Row(
        "follow a terminal", spawned_then(frames(result(stdout_total=1000))), "of which (0, 0) came"
    ),
    "an end before what came": Row(
        "follow a terminal", spawned_then(frames(frame(b"o", b"xy"), result(stdout_total=1))), "of which (2, 0) came"
    ),
    # Snapshots.
    "a snapshot that is none": Row("save a snapshot", just(file_of(b"", head=b"x" * 100)), "no whole snapshot"),
    "a snapshot of another digest": Row("save a snapshot", snapshot(digest_of=b"another"), "not its own"),
    "a snapshot of fewer than none": Row("save a snapshot", snapshot(members=-1), "no whole snapshot"),
    "a snapshot of true members": Row("save a snapshot", snapshot(members=True), "no whole snapshot"),
    "a snapshot of fewer than it has": Row("save a snapshot", snapshot(members=0), "of 0 members, and has 1"),
    "more content than was saved": Row(
        "compare with a snapshot",
        digested(*[line(how="touched", path="x", at=at, size=1 << 20) for at in range(20_000)], line(last=True)),
        "more of it than was saved",
    ),
    "content behind the end of what was saved": Row(
        "compare with a snapshot",
        digested(line(how="touched", path="x", at=1 << 62, size=1), line(last=True)),
        "no place",
    ),
    # Trees.
    **{
        f"a tree with {name}": Row("save tree", tree(content), "is no tree")
        for name, content in hostile_tars.SMALL.items()
    },
    **{
        f"a tree with {name}": Row("save tree", tree_for_ever(*content), "", {"disk_bytes": 64 * MIB})
        for name, content in hostile_tars.ENDLESS.items()
    },
    "a tree of too many": Row(
        "save tree", tree(hostile_tars.of_many(200)), "is one of more than 100", {"members": 100}
    ),
    "a tree with a false digest": Row("save tree", tree(hostile_tars.of_many(8), digest="0" * 64), "its digest is not"),
}

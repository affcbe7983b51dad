"""Whatever is sent to the server, it answers with a 4xx or hangs up, and lives on."""

from __future__ import annotations

import hashlib
import io
import json
import random
import socket
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import UnsafeArchiveError
from pytest_fargate_sandbox.server import protocol
from tests import hostile_tars

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.exec_server_process import ExecServerProcess


@pytest.fixture
def say(shared_server: ExecServerProcess) -> Callable[..., bytes]:
    """Send bytes, with the right token where ``TOKEN`` stands; what comes back until the server hangs up."""

    def send(data: bytes, *, end: bool = True) -> bytes:
        with shared_server.connect() as connection:
            try:
                connection.sendall(data.replace(b"TOKEN", shared_server.token.encode()))
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # It hung up on us already, and its answer waits.
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
            return answer

    return send


@pytest.fixture(autouse=True)
def _the_server_lives_on(shared_server: ExecServerProcess) -> object:
    shared_server.client.teach("files.file_verbs")  # what is said here teaches nothing
    yield
    assert shared_server.client.exec("echo alive").stdout == "alive\n"


def request(verb: str, body: bytes, *fields: str) -> bytes:
    lines = [f"POST {protocol.PREFIX}{verb} HTTP/1.1", "Authorization: Bearer TOKEN", *fields]
    if not fields:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_and_kind(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["kind"]


def label(value: object) -> str:
    """What is special in it."""
    if not isinstance(value, bytes):
        return ""
    return repr(value.replace(b"Authorization: Bearer TOKEN\r\n", b"").replace(b"HTTP/1.1\r\n", b""))[:120]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 400),
        (b"POST nowhere HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nno colon here\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nName : space\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nA: nul\0\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nA: 1\r\nA: 2\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nA: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"x" * 100_000, 431),
        (request("run", b"", "Content-Length: 10737418240"), 413),
        (request("run", b"", "Content-Length: -1"), 400),
        (request("run", b"", "Content-Length: 0x10"), 400),
        (request("run", b"", "Content-Length: " + "9" * 30), 400),
        (request("run", b"{}", "Content-Length: 2", "Transfer-Encoding: chunked"), 400),
        (request("run", b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: gzip"), 400),
        (request("run", b"zz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (request("run", b"2;extension\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (request("run", b"1\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
        (request("run", b"ffffffffff\r\n", "Transfer-Encoding: chunked"), 400),
        (request("run", b'{"id": "short"', "Content-Length: 1000"), 400),
        (request("no-such-verb", b"{}"), 404),
        (f"GET {protocol.PREFIX}run HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\n\r\n".encode(), 404),
        (request("run", b"{" * 100_000), 400),
        (request("run", b"\xff\xfe"), 400),
        (request("run", b"[1, 2]"), 400),
        (request("run", b"{}"), 400),
        (request("run", b'{"id": "a", "command": "true", "surprise": 1}'), 400),
        (request("run", b'{"id": "../../etc", "command": "true"}'), 400),
        (request("run", b'{"id": "a", "command": 5}'), 400),
        (request("run", b'{"id": "a", "command": ["a", 5]}'), 400),
        (request("run", b'{"id": "a", "command": []}'), 400),
        (request("run", b'{"id": "a", "command": "echo \\u0000"}'), 400),
        (request("run", b'{"id": "a", "command": "true", "env": {"A=B": "x"}}'), 400),
        (request("run", b'{"id": "a", "command": "true", "env": {"A": 1}}'), 400),
        (request("run", b'{"id": "a", "command": "true", "timeout": -1}'), 400),
        (request("run", b'{"id": "a", "command": "true", "timeout": NaN}'), 400),
        (request("run", b'{"id": "a", "command": "true", "timeout": true}'), 400),
        (request("run", b'{"id": "a", "command": "true", "timeout": 1' + b"0" * 400 + b"}"), 400),
        (request("signal", b'{"id": "a", "signal": 5000}'), 400),
        (request("attach", b'{"id": "never-seen"}'), 404),
        (request("read-file", b'{"path": "/tmp/\\u0000"}'), 400),
        (request("read-file", b'{"path": "/tmp/\\ud800"}'), 400),
        (request("run", b'{"id": "a", "command": ["echo", "\\udc00"]}'), 400),
        (request("run", b'{"id": "a", "command": "true", "env": {"\\ud800": "x"}}'), 400),
        (request("read-file", b'{"path": "\\u0000\\u0000\\u0000"}'), 400),
        (request("read-file", b'{"path": "' + b"x" * 5000 + b'"}'), 413),
        (request("write-file", b'{"path": "/tmp/sized"}\ncontent'), 400),
        (request("list-files", b'{"path": "/etc/passwd"}'), 409),
        (request("fetch", b'{"url": "file:///etc/passwd", "path": "/tmp/x", "sha256": "0"}'), 400),
    ],
    ids=label,
)
def test_garbage_gets_a_4xx(say: Callable[..., bytes], data: bytes, status: int) -> None:
    answer = say(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert status_and_kind(answer)[1] != "internal"


def test_nobody_without_the_token_gets_anything(say: Callable[..., bytes]) -> None:
    body = b'{"id": "a", "command": "true"}'
    for key in ("Bearer wrong", "Bearer ", "Basic TOKEN", "TOKEN", "bearer TOKEN\xff"):
        data = b"POST /v0/run HTTP/1.1\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n%s"
        answer = say(data % (key.encode("latin-1"), len(body), body))
        assert status_and_kind(answer) == (401, "unauthorized")
    assert status_and_kind(say(b"POST /v0/run HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")) == (401, "unauthorized")


def test_a_stranger_cannot_make_the_server_read_a_body(say: Callable[..., bytes]) -> None:
    answer = say(b"POST /v0/run HTTP/1.1\r\nContent-Length: 10737418240\r\n\r\n" + b"x" * 1_000_000)
    assert status_and_kind(answer)[0] == 401


def test_health_takes_no_token_and_tells_no_secret(say: Callable[..., bytes], shared_server: ExecServerProcess) -> None:
    answer = say(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert shared_server.token.encode() not in answer


def test_random_bytes_do_no_harm(say: Callable[..., bytes]) -> None:
    source = random.Random(11)
    valid = request("run", b'{"id": "fuzzed", "command": ["true"]}')
    for _ in range(150):
        data = bytearray(valid)
        for _ in range(source.randint(1, 8)):
            data[source.randrange(len(data))] = source.randrange(256)
        answer = say(bytes(data[: source.randint(1, len(data))]))
        assert not answer or answer.startswith(b"HTTP/1.1 "), answer
        assert b'"internal"' not in answer


def test_a_slow_request_is_put_together(shared_server: ExecServerProcess) -> None:
    data = request("run", b'{"id": "slow", "command": "echo slow"}').replace(b"TOKEN", shared_server.token.encode())
    with shared_server.connect() as connection:
        for start in range(0, len(data), 7):
            connection.sendall(data[start : start + 7])
        assert b"slow\n" in connection.recv(65536)


def test_requests_may_come_in_one_packet(say: Callable[..., bytes]) -> None:
    both = request("run", b'{"id": "p1", "command": "echo 1"}') + request("run", b'{"id": "p2", "command": "echo 2"}')
    answer = say(both)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.index(b"1\n") < answer.index(b"2\n")


def tar_of(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def upload_tar(say: Callable[..., bytes], path: Path, content: bytes, digest: str | None = None) -> bytes:
    line = json.dumps({"path": str(path)}).encode() + b"\n"
    trailer = digest or hashlib.sha256(content).hexdigest()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (line, content) if part)
    body = chunks + b"0\r\nsha256: %s\r\n\r\n" % trailer.encode()
    return say(request("write-tree", body, "Transfer-Encoding: chunked"))


GOOD = member("aaa-good", size=10)


@pytest.mark.parametrize(
    "bad",
    [
        [member("/absolute")],
        [member("../outside")],
        [member("sub/../../outside")],
        [member("device", tarfile.CHRTYPE)],
        [member("block", tarfile.BLKTYPE)],
        [member("fifo", tarfile.FIFOTYPE)],
        [member("link", tarfile.SYMTYPE, "/etc")],
        [member("link", tarfile.SYMTYPE, "../outside")],
        [member("sub/link", tarfile.SYMTYPE, "../../outside")],
        [member("sub/link", tarfile.SYMTYPE, "x/../../..")],
        [member("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [member("hard", tarfile.LNKTYPE, "../outside")],
        [member("hard", tarfile.LNKTYPE, "not-before")],
        [member("d", tarfile.SYMTYPE, "."), member("d/e", tarfile.SYMTYPE, "..")],
        [member("d", tarfile.SYMTYPE, "aaa"), member("d/file")],
        [member("twice"), member("twice")],
    ],
    ids=lambda bad: "+".join(f"{info.name}~{info.linkname}" for info in bad),
)
def test_an_archive_that_wants_out_changes_nothing(
    say: Callable[..., bytes], tmp_path: Path, bad: list[tarfile.TarInfo]
) -> None:
    for target in (tmp_path / "new", tmp_path / "existing"):
        (tmp_path / "existing").mkdir(exist_ok=True)
        answer = upload_tar(say, target, tar_of(GOOD, *bad))
        assert status_and_kind(answer) == (400, "unsafe_archive"), answer
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["existing"]


@pytest.mark.parametrize("spoil", ["cut", "rubbish", "empty", "digest", "half-header"])
def test_an_archive_that_is_not_whole_changes_nothing(say: Callable[..., bytes], tmp_path: Path, spoil: str) -> None:
    content = tar_of(GOOD, member("second", size=5000))
    spoiled = {
        "cut": content[:2000],
        "rubbish": content[:1024] + b"rubbish " * 64 + content[1536:],
        "empty": b"",
        "digest": content,
        "half-header": content[:1300],
    }[spoil]
    answer = upload_tar(say, tmp_path / "tree", spoiled, "0" * 64 if spoil == "digest" else None)
    assert status_and_kind(answer) == (400, "checksum" if spoil == "digest" else "unsafe_archive")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", hostile_tars.SMALL)
def test_an_archive_that_no_tar_writes_changes_nothing(say: Callable[..., bytes], tmp_path: Path, bad: str) -> None:
    began = time.monotonic()
    answer = upload_tar(say, tmp_path / "tree", hostile_tars.SMALL[bad])
    assert status_and_kind(answer) == (400, "unsafe_archive"), answer
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_gnu_tar_is_taken(say: Callable[..., bytes], tmp_path: Path) -> None:
    assert upload_tar(say, tmp_path / "tree", hostile_tars.of_old_gnu_tar()).startswith(b"HTTP/1.1 200")
    assert (tmp_path / "tree/link").read_bytes() == b"abc"


def test_a_tree_that_is_too_deep_is_refused_by_name(shared_server: ExecServerProcess, tmp_path: Path) -> None:
    make = f"cd '{tmp_path}' && for _ in $(seq 300); do mkdir d && cd d; done"
    assert shared_server.client.exec(make).ok
    with pytest.raises(UnsafeArchiveError, match="is the deepest of more than 256 directories"):
        shared_server.client.download_to(str(tmp_path), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_links_that_stay_inside_are_kept(say: Callable[..., bytes], tmp_path: Path) -> None:
    members = [
        GOOD,
        member("./sub/deep", tarfile.DIRTYPE),
        member("sub/up", tarfile.SYMTYPE, "../aaa-good"),
        member("sub/deep/root", tarfile.SYMTYPE, "../.."),
        member("sub/hard", tarfile.LNKTYPE, "aaa-good"),
    ]
    assert upload_tar(say, tmp_path / "tree", tar_of(*members)).startswith(b"HTTP/1.1 200")
    assert (tmp_path / "tree/sub/up").read_bytes() == b"x" * 10
    assert (tmp_path / "tree/sub/hard").samefile(tmp_path / "tree/aaa-good")


def test_a_broken_upload_leaves_the_old_file(say: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    line = json.dumps({"path": str(path)}).encode() + b"\n"
    head = b"%x\r\n%s\r\n" % (len(line), line)
    wrong = head + b"3\r\nnew\r\n0\r\nsha256: " + b"0" * 64 + b"\r\n\r\n"
    unsigned = head + b"3\r\nnew\r\n0\r\n\r\n"
    for body, kind in ((wrong, "checksum"), (unsigned, "checksum"), (head + b"10\r\nnew", "bad_request")):
        answer = say(request("write-file", body, "Transfer-Encoding: chunked"))
        assert status_and_kind(answer) == (400, kind)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]

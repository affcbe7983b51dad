"""Whatever comes to the exec server's port, it lives on, as small as it was."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.server.protocol import PREFIX
from tests.exec_server_process import ExecServerProcess
from tests.hostile.fuzz.storm import Storm, Vitals, chosen_seed, in_http_and_without_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.fuzz.mutants import Mutants

pytestmark = pytest.mark.root  # what it is told to run and write is not for this machine

_CAGE = """
exec 2> "$1"
shift
for directory in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 cage $directory; done
mkdir -p "$HOME"
chmod 777 "$HOME"
cd "$HOME"
exec setpriv --reuid 23456 --regid 23456 --clear-groups --pdeathsig KILL "$@"
"""
_RUN = {"command": ["sh", "-c", "cat; echo to stderr >&2"], "cwd": "/", "env": {"A": "b", "C": None}, "timeout": 0.3}
_VALID: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run", {"id": "ID", "user": None, "limit": 1000, **_RUN}),
    ("run", {"id": "ID", "command": "echo out; exit 3"}),
    ("spawn", {"id": "ID", **_RUN}),
    ("spawn", {"id": "ID", "columns": 80, "rows": 24, **_RUN}),
    ("attach", {"id": "ID", "stdout": 0, "stderr": 3, "wait": 0.01, "limit": 100}),
    ("write", {"id": "ID", "offset": 3, "end": True, "skip": True}),
    ("signal", {"id": "ID", "signal": 15, "tree": True}),
    ("configure", {"environment": {"FUZZED": "1", "GONE": None}}),
    ("read-file", {"path": "/etc/hostname"}),
    ("write-file", {"id": "UPLOAD", "skip": 3, "path": "/tmp/fuzzed", "mode": 0o600, "mtime_ns": 10**18}),
    ("list-files", {"path": "/tmp"}),
    ("read-tree", {"path": "/tmp"}),
    ("write-tree", {"id": "UPLOAD", "skip": 0, "path": "/tmp/tree"}),
    ("upload", {"id": "UPLOAD"}),
    ("fetch", {"id": "UPLOAD", "url": "http://127.0.0.1:1/x", "path": "/tmp/x", "sha256": "0" * 64, "unpack": False}),
)
_IDS = 30
"""Few, so that what no client has acknowledged is as much in the end as it was after a moment."""
_UPLOADS = 3
_MOST_BROKEN = _UPLOADS + 3
"""Uploads that wait half a minute for their client to go on: those, and what an id was made by a mutation."""
_NEWEST_UNFETCHED = 16
"""So many commands whose output nobody has fetched keep the files that it lies in."""
_GROWTH_KIB = 12 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ExecServerProcess]:
    cage = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    inside = (*cage, "sh", "-c", _CAGE, "sh", str(tmp_path / "stderr"))
    server = ExecServerProcess(tmp_path, "/usr/bin/python3", inside=inside)
    yield server
    server.process.kill()  # the cage, which does not heed SIGTERM, and with it all that is in there
    server.close()


def test_it_lives_on_whatever_is_sent(server: ExecServerProcess, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    soak = pytestconfig.getoption("soak")
    storm = Storm(chosen_seed(soak), server.port, lambda m: _request(m, server.token), in_http_and_without_python)
    pid = _inside(server.process.pid)
    quiet = Vitals.of(pid)
    storm.blow(150)
    warm = Vitals.of(pid)
    storm.blow(450, seconds=600 if soak else 0)
    print(f"seed {storm.seed}: {storm.sent} requests, {storm.statuses}")
    assert storm.complaints == []
    server.client.configure({"PATH": "/usr/bin:/bin"})
    assert server.client.exec("kill -9 -1; echo alive").stdout == "alive\n"  # what was to run for ever
    quiet.wait_until_as_quiet_again(descriptors=2 * _NEWEST_UNFETCHED + 4 * _MOST_BROKEN, threads=_MOST_BROKEN)
    assert Vitals.of(pid).memory_kib < warm.memory_kib + _GROWTH_KIB
    assert "Traceback" not in (tmp_path / "stderr").read_text(errors="replace")
    assert {200, 400, 401, 404} <= storm.statuses.keys()


def _inside(pid: int) -> int:
    """What the cage became."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_until(lambda: children.read_text().split() or None, deadline=30, what="a server in its cage")[0])


def _request(mutants: Mutants, token: str) -> bytes:
    choose = mutants.random
    verb, valid = choose.choice(_VALID)
    ids = {"ID": f"fuzz-{choose.randrange(_IDS)}", "UPLOAD": f"upload-{choose.randrange(_UPLOADS)}"}
    valid = {name: ids.get(str(value), value) for name, value in valid.items()}
    body = mutants.json(valid) if mutants.chance(0.6) else json.dumps(valid).encode()
    payload = _payload(mutants, verb)
    body += b"\n" + payload
    framed, length = body, f"Content-Length: {len(body)}"
    if mutants.chance(0.5):
        framed = mutants.chunks(body, b"sha256: %s\r\n" % hashlib.sha256(payload).hexdigest().encode())
        length = "Transfer-Encoding: chunked"
    key = token if mutants.chance(0.9) else mutants.raw(token.encode()).decode("latin-1")
    odd = ("/health", PREFIX, "*", f"/{PREFIX}run", f"{PREFIX}run?x", "/" + "%2e" * 9000)
    target = PREFIX + verb if mutants.chance(0.95) else choose.choice(odd)
    head = f"{choose.choice(('POST',) * 20 + ('GET', 'PUT', 'post'))} {target} HTTP/1.1\r\n{length}\r\n"
    data = f"{head}Authorization: Bearer {key}\r\n\r\n".encode("latin-1") + framed
    how = choose.randrange(10)
    if how == 0:
        return mutants.raw(data)
    if how == 1:
        return mutants.head(data)
    if how == 2:
        return data + data
    return choose.randbytes(choose.randint(1, 2000)) if how == 3 and mutants.chance(0.3) else data


def _payload(mutants: Mutants, verb: str) -> bytes:
    if verb == "write-tree":
        return mutants.raw(_TAR) if mutants.chance(0.5) else _TAR
    return mutants.random.randbytes(mutants.random.choice((0, 1, 100, 5000)))


def _tar() -> bytes:
    buffer = io.BytesIO()
    members = (("d", tarfile.DIRTYPE, ""), ("d/f" * 40, tarfile.REGTYPE, ""), ("l", tarfile.SYMTYPE, "d"))
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, 600 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


_TAR = _tar()

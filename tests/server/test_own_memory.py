"""What code in the sandbox gets to see of the server that runs it, as the same user or as root of a container."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.exec_server_process import ExecServerProcess
from tests.server.interpreters import interpreters, oldest_and_newest
from tests.server_memory import NOTHING, seen_by

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 23456

LIKE_A_CONTAINERS_ROOT = (
    sys.executable,
    "-c",
    """
import ctypes, os, sys
dockers_default = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
for capability in range(64):
    if capability not in dockers_default:
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # out of the bounding set, and so gone with the next exec
os.execvp(sys.argv[1], sys.argv[1:])
""",
)


def without_ctypes(directory: Path) -> str:
    """A Python as Debian's python3-minimal is."""
    program = directory / "python3"
    hidden = "import sys; sys.modules['ctypes'] = None; exec(sys.argv[1])"
    program.write_text(f'''#!/bin/sh
[ "$1" != -V ] || exec {sys.executable} -V
exec {sys.executable} -I -S -B -c "{hidden}" "$5"
''')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Not below pytest's own, which only its owner may enter."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    os.chown(directory, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(params=["container root", "container root without ctypes", "plain user"])
def server(request: pytest.FixtureRequest, open_directory: Path) -> Iterator[ExecServerProcess]:
    if request.param == "plain user":
        pick = {"python": "/usr/bin/python3", "uid": NOBODY}
    elif request.param == "container root":
        pick = {"inside": LIKE_A_CONTAINERS_ROOT}
    else:
        pick = {"inside": LIKE_A_CONTAINERS_ROOT, "python": without_ctypes(open_directory)}
    server = ExecServerProcess(open_directory, **pick)  # type: ignore[arg-type]
    yield server
    server.close()


@pytest.mark.root
def test_a_command_sees_nothing_of_the_servers_memory(server: ExecServerProcess) -> None:
    assert server.client.health()
    assert seen_by(server.client, server.process.pid) == NOTHING


@pytest.mark.root
def test_commands_are_as_open_to_each_other_as_anywhere(server: ExecServerProcess) -> None:
    """Debuggers, and whoever reads its own ``/proc/self``, find what they are used to."""
    neighbour = server.client.spawn("sleep 60")
    seen = seen_by(server.client, neighbour.pid).splitlines()
    assert {"can read mem", "can write mem", "can follow exe"} - set(seen) == {"can read mem"}  # nothing lies at 0
    assert "can read environ" in seen
    assert "can follow exe" in seen_by(server.client, "self")
    neighbour.kill()


@pytest.mark.root
def test_what_the_server_needs_of_proc_it_still_has(server: ExecServerProcess) -> None:
    """The marks of its children, by which it finds what left its session, and the score that keeps it alive."""
    client = server.client
    pid = client.exec("setsid sh -c 'echo $$; exec sleep 300' & sleep 300", timeout=0.5).stdout.strip()
    wait_until(lambda: not Path("/proc", pid).exists() or None, deadline=30, what=f"the end of {pid}")
    own = int(Path(f"/proc/{server.process.pid}/oom_score_adj").read_text())
    assert int(client.exec("cat /proc/self/oom_score_adj").stdout) > own


@pytest.mark.parametrize("version", oldest_and_newest())
@pytest.mark.root
def test_it_is_hidden_on(version: str, tmp_path: Path) -> None:
    server = ExecServerProcess(tmp_path, interpreters()[version], inside=LIKE_A_CONTAINERS_ROOT)
    try:
        assert seen_by(server.client, server.process.pid) == NOTHING
    finally:
        server.close()


@pytest.mark.root
def test_a_plain_user_without_ctypes_is_told(open_directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing can be done there; whoever asks after the server's health, or reads the log, knows."""
    python = without_ctypes(open_directory)
    Path(python).write_text(Path(python).read_text().replace(sys.executable, "/usr/bin/python3"))
    server = ExecServerProcess(open_directory, python, uid=NOBODY)
    try:
        assert "can open mem" in seen_by(server.client, server.process.pid)
        with server.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            assert b'"memory_hidden": false' in connection.recv(65536)
    finally:
        server.close()
    assert "can read and change this server" in capfd.readouterr().err

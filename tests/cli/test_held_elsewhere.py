"""Sandboxes of a process that runs, entered from another terminal: by that process's side door."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox
from pytest_fargate_sandbox.leaves.config import SshSidecarConfig
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.side_door import visit
from tests import warm_python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("namespaces")

NAME = f"held-elsewhere-{os.getpid()}"
"""By which the sandbox of this worker is found, and no other's."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[EcsFargateSandbox]:
    cfg = EcsFargateConfig(cluster="local", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
    with EcsFargateSandbox(cfg, task_id=NAME, run_id="doors") as sandbox:
        sandbox.start()
        yield sandbox


def cli(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return warm_python.run("-m", "pytest_fargate_sandbox.cli.main", *words, given=stdin)


@pytest.mark.usefixtures("sandbox")
def test_a_command_runs_in_it_with_its_stdin_output_and_code() -> None:
    done = cli("exec", NAME, "cat; echo err >&2; exit 3", stdin="typed\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "typed\n", "err\n")
    assert cli("exec", NAME, "ls", "-d", "/tmp").stdout == "/tmp\n"
    assert cli("shell", NAME, stdin="echo from a shell; exit 4\n").returncode == 4


def test_a_terminal_is_watched_and_not_touched(sandbox: EcsFargateSandbox) -> None:
    terminal = sandbox.open_terminal("work", command=["sh"])
    terminal.run("echo before")
    watched: list[subprocess.CompletedProcess[str]] = []
    watcher = threading.Thread(target=lambda: watched.append(cli("watch", NAME, "work")))
    watcher.start()
    terminal.run("echo meanwhile; sleep 2")
    terminal.close()
    watcher.join(60)
    assert "\nbefore\n" in watched[0].stdout
    assert "\nmeanwhile\n" in watched[0].stdout
    assert "there is no terminal 'other'; open are: work" in cli("watch", NAME, "other").stderr


def test_who_has_watched_a_terminal_leaves_nothing_behind_that_goes_on(sandbox: EcsFargateSandbox) -> None:
    def visits() -> int:
        return sum(thread.name == "side-door-visit" for thread in threading.enumerate())

    with contextlib.closing(sandbox.open_terminal("idle", command=["sh"])) as terminal:
        terminal.run("echo it is silent from here on")
        with visit(str(sandbox.task_arn), terminal="idle") as visitor:
            visitor.recv(100_000)
        wait_until(lambda: not visits() or None, deadline=10, what="the visit's end")


def test_the_door_is_this_users_alone_and_gives_no_key_away(sandbox: EcsFargateSandbox) -> None:
    door = cache_directory("doors") / f"{os.getpid()}.sock"
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(10)
        visitor.connect(str(door))
        visitor.sendall(b'{"task": "arn:of:nobody"}\n')
        assert visitor.recv(100) == b"that task is not held here\n"
    for nonsense in (b"\n", b"[]\n", b"\xff\xfe\n", b"x" * 100_000, b"[" * 60_000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.settimeout(10)
            visitor.connect(str(door))
            with contextlib.suppress(ConnectionError):
                visitor.sendall(nonsense)
                assert visitor.recv(100) == b""
    assert sandbox.exec("echo alive").stdout == "alive\n"


DOOR_OUT_OF_DESCRIPTORS = """
import contextlib, os, resource, socket, sys, time
from types import SimpleNamespace
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox import side_door

side_door._WISH_SEC = 0.5
side_door.DOOR.lead_to(SimpleNamespace(task_arn="arn:1"))
door = str(side_door.DOOR._path)
if os.fork() == 0:
    visitors = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for visitor in visitors:
        visitor.connect(door)
        with contextlib.suppress(OSError):
            visitor.sendall(b'{"task"')
    try:
        side_door.visit("arn:2")
    except SandboxError as error:
        print(error, flush=True)
    os._exit(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
os.wait()
"""


def test_visitors_who_say_nothing_are_shown_out_and_shut_no_door(short_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(short_path)}
    # The door has a thread, beside which newer Pythons warn of a fork; the child of this one meets no lock of it.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", DOOR_OUT_OF_DESCRIPTORS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("no process of yours on this machine holds that task\n", "")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """The kernel takes 108 bytes for the path of a socket."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_the_door_of_a_killed_process_is_cleared_away_and_without_any_it_is_told(short_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(short_path)}
    doors = short_path / "pytest-fargate-sandbox" / "doors"
    doors.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(doors / "1.sock"))
    still = socket.socket(socket.AF_UNIX)
    still.bind(str(doors / "2.sock"))
    still.listen()  # and answer nobody, as a process does that was stopped
    program = "from pytest_fargate_sandbox.sandbox import side_door; side_door._REPLY_SEC = 0.3; side_door.visit('x')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "process 2 of yours, which may hold that task, does not answer: is it stopped?" in done.stderr
    assert [door.name for door in doors.iterdir()] == ["2.sock"]
    still.close()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "no process of yours on this machine holds that task" in done.stderr
    assert not [*doors.iterdir()]

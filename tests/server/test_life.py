"""The server as the first process of a container: what it inherits, reaps, passes on and keeps to itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ExecFailed, RemotePermissionError, SandboxError, TransportError
from pytest_fargate_sandbox.leaves.names import ENV_TOKEN_SHA256
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.namespaces.control_group import open_control_group
from pytest_fargate_sandbox.server.bundle import server_command
from pytest_fargate_sandbox.server.commands.oom_counter import OomCounter
from pytest_fargate_sandbox.server.relocatable import copy_runtime
from tests.exec_server_process import ExecServerProcess, LoopbackSandbox, altered_source
from tests.processes import children
from tests.server.behaviours import behaviours_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.local.runners.namespaces.control_group import ControlGroup
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

NOBODY = 23456
as_root = pytest.mark.root


def status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(field + ":"))


def work_dir_of(server: ExecServerProcess) -> Path:
    result = server.client.exec("seq 1 1000", max_output_bytes=10)
    assert result.stdout_spool
    spool = Path(result.stdout_spool)
    spool.unlink()
    return spool.parent


STOPPED_EARLY = """
import os, signal, subprocess
from functools import partial
from pytest_fargate_sandbox.server.exec_server import _stop

signal.signal(signal.SIGTERM, partial(_stop, os.getpid()))
print(subprocess.Popen(["true"], preexec_fn=lambda: os.kill(os.getpid(), signal.SIGTERM)).wait())
"""


def test_a_command_that_sigterm_meets_before_it_is_its_program_ends_by_it() -> None:
    ended = subprocess.run([sys.executable, "-c", STOPPED_EARLY], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == (f"{-signal.SIGTERM}\n", "")


def test_sigterm_reaches_the_commands_and_ends_the_server(server: ExecServerProcess, tmp_path: Path) -> None:
    wait = "echo ready; while :; do sleep 0.05; done"
    polite = server.client.spawn(f"trap 'echo bye > \"{tmp_path}/bye\"; exit' TERM; {wait}")
    assert polite.read(timeout=60) == b"ready\n"
    rude = server.client.spawn("trap '' TERM; (setsid sleep 300 &); while :; do sleep 0.05; done")
    work_dir = work_dir_of(server)
    assert work_dir.exists()
    assert server.close() == 128 + signal.SIGTERM
    assert (tmp_path / "bye").exists()
    place = Path(f"/proc/{rude.pid}")  # which a process that was killed has until it is reaped, by others now
    wait_until(lambda: not place.exists() or None, deadline=30, what="the end of who does not listen")
    assert not work_dir.exists()


def test_sigterm_is_heard_under_load(tmp_path: Path) -> None:
    for attempt in range(2):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        server = ExecServerProcess(directory)

        def keep_busy(busy: ExecServerProcess = server) -> None:
            try:
                while True:
                    busy.client.exec("true")
            except (TransportError, OSError):
                pass

        threads = [threading.Thread(target=keep_busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        server.client.exec("sleep 0.2")
        server.process.terminate()
        assert server.process.wait(60) == 143
        server.client.close()
        for thread in threads:
            thread.join(20)


def test_orphans_are_reaped(server: ExecServerProcess) -> None:
    for _ in range(20):
        server.client.exec("(setsid sh -c 'sleep 0.05' &) ; (sleep 0.01 &) ; true")
    wait_until(lambda: not children(server.process.pid) or None, deadline=30, what="an end of all children")


def test_commands_die_of_memory_before_the_server_does(shared_server: ExecServerProcess) -> None:
    def score(pid: object) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    own = score(shared_server.process.pid)
    told = shared_server.client.exec(
        "cat /proc/self/oom_score_adj; (setsid cat /proc/self/oom_score_adj)"
    ).stdout.split()
    assert all(int(value) > own for value in told)
    assert score(shared_server.process.pid) == own


@contextmanager
def _limited(directory: Path, limit: Callable[[ControlGroup], None]) -> Iterator[ExecClient]:
    """Of a server in a group of its own."""
    outer = open_control_group(f"exec-server-test-{os.getpid()}")
    assert outer is not None
    group = outer.child("server")  # under version 2 processes live in the leaves alone
    limit(group)
    try:
        enter = ["sh", "-c", 'for group in $0; do echo $$ > $group/cgroup.procs; done; exec "$@"']
        enter.append(" ".join(map(str, group.directories)))
        server = ExecServerProcess(directory, inside=enter)
        try:
            yield server.client
        finally:
            server.close()
    finally:
        outer.remove()


@as_root
@pytest.mark.needs("memory limits")
def test_a_command_killed_for_memory_says_so_and_the_server_lives_on(tmp_path: Path) -> None:
    with _limited(tmp_path, lambda group: group.limit_memory(64)) as client:
        hog = "python3 -c \"x = bytearray(300_000_000); print('survived')\""
        result = client.exec(hog)
        assert (result.return_code, result.oom_killed, result.stdout) == (137, True, "")
        assert not client.exec("kill -9 $$").oom_killed


@as_root
@pytest.mark.needs("memory limits")
def test_a_child_killed_for_memory_is_told_whatever_comes_after_it(tmp_path: Path) -> None:
    with _limited(tmp_path, lambda group: group.limit_memory(64)) as client:
        went_on = client.exec("python3 -c 'x = bytearray(300_000_000)'; exit 3")
        assert (went_on.return_code, went_on.oom_killed, went_on.oom_kills) == (3, False, 1)
        told = "memory ran out (of 64 MiB), and the kernel killed a process of the container"
        with pytest.raises(ExecFailed, match=re.escape(f"command returned 3, {told}: python3")) as failed:
            went_on.check()
        assert failed.value.context["oom_kills"] == 1
        was_well = client.exec("python3 -c 'x = bytearray(300_000_000)' || true")
        assert (was_well.check().return_code, was_well.of_memory) == (0, told)
        assert client.exec("true").of_memory == ""


def test_of_the_newer_control_groups_the_least_limit_is_told(tmp_path: Path) -> None:
    """A host has one version of them; these files stand for the other's."""
    (tmp_path / "memory.events").write_text("oom 1\noom_kill 7\noom_group_kill 0\n")
    counter = OomCounter(str(tmp_path))
    assert (counter.read(), counter.limit()) == (7, 0)
    (tmp_path / "memory.max").write_text("max\n")
    assert counter.limit() == 0
    (tmp_path / "memory.max").write_text("469762048\n")
    assert counter.limit() == 448 << 20


TAKES_ALL = """\
import _thread, os, time
told, tell = os.pipe()
if os.fork():
    os._exit(len(os.read(told, 1)) - 1)
asleep = _thread.allocate_lock()
asleep.acquire()
while True:
    try:
        _thread.start_new_thread(asleep.acquire, ())
    except RuntimeError:
        os.write(tell, b".")
        time.sleep(0.001)
"""


@as_root
@pytest.mark.needs("process limits")
def test_where_a_command_has_taken_all_processes_another_is_told_so(tmp_path: Path) -> None:
    """The first has ended well, with nobody to read on from what it has left behind."""

    def told(client: ExecClient) -> str | None:
        try:
            client.exec(["true"])
        except SandboxError as error:
            return error.message
        return None

    with _limited(tmp_path, lambda group: group.limit_processes(40)) as client:
        assert client.exec(["python3", "-c", TAKES_ALL]).ok
        said = wait_until(lambda: told(client), deadline=10, what="a lack of processes")
        assert said == "no process is left for another command"


def test_a_kill_by_somebody_is_not_taken_for_a_lack_of_memory(client: ExecClient) -> None:
    result = client.exec("kill -9 $$")
    assert (result.return_code, result.oom_killed) == (137, False)


def test_nothing_of_ours_is_in_the_environment_of_commands(shared_server: ExecServerProcess) -> None:
    client = shared_server.client
    assert "FARGATE_SANDBOX" not in client.exec("env").stdout
    everything = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true"
    assert shared_server.token.encode() not in client.exec(everything).stdout_bytes


def test_the_process_list_stays_readable(shared_server: ExecServerProcess) -> None:
    command_line = Path(f"/proc/{shared_server.process.pid}/cmdline").read_bytes()
    assert len(command_line) < 1000
    assert b"zlib" in command_line


def test_it_listens_on_loopback_only(shared_server: ExecServerProcess) -> None:
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    assert f"0100007F:{shared_server.port:04X}" in listening
    assert f"00000000:{shared_server.port:04X}" not in listening


def test_without_a_token_there_is_no_server(tmp_path: Path) -> None:
    entry_point, command = server_command("image")
    environment = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin:/bin"])}
    result = subprocess.run(
        [*entry_point, *command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20
    )
    assert result.returncode == 2
    assert ENV_TOKEN_SHA256 in result.stderr


def test_many_finished_commands_take_no_memory(server: ExecServerProcess) -> None:
    for _ in range(60):  # until the allocator has what it works with
        server.client.exec("head -c 200000 /dev/zero")
    before = int(status(server.process.pid, "VmRSS").split()[0])
    for _ in range(100):
        server.client.exec("head -c 200000 /dev/zero")
    assert int(status(server.process.pid, "VmRSS").split()[0]) - before < 10_000


def test_nothing_stays_in_the_work_directory(server: ExecServerProcess) -> None:
    server.client.exec("seq 1 300000")
    server.client.exec(f": {'x' * 200_000}")
    server.client.exec("true")
    assert [path.name for path in work_dir_of(server).iterdir() if path.name not in ("bin", "log")] == []


@pytest.mark.root  # others do not see into a server
def test_descriptors_do_not_leak(server: ExecServerProcess) -> None:
    def count() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    def all_sorts() -> None:
        server.client.exec("echo x", stdin=b"y" * 100_000)
        server.client.exec("seq 1 100000")
        server.client.exec(["no-such-program"])
        server.client.exec("sleep 9", timeout=0.05)
        server.client.exec("(sleep 0.1 &)")
        server.client.spawn("true").wait(60)
        with pytest.raises(FileNotFoundError):
            server.client.exec("true", cwd="/none")

    all_sorts()
    before = count()
    for _ in range(5):
        all_sorts()
    wait_until(lambda: count() <= before or None, deadline=30, what=f"{before} descriptors again, not {count()}")


def python_for_everybody(directory: Path) -> str:
    """One that another user may run: those of pyenv and the like often lie in somebody's home."""
    if Path("/usr/bin/python3").exists():
        return "/usr/bin/python3"
    copy_runtime(str(directory / "runtime"))
    program = directory / "python3"
    runtime = directory / "runtime"
    program.write_text(f'#!/bin/sh\nexec {runtime}/lib/ld.so --library-path {runtime}/lib {runtime}/bin/python3 "$@"\n')
    program.chmod(0o755)
    return str(program)


@as_root
def test_the_whole_list_holds_for_a_server_without_root(pytestconfig: pytest.Config) -> None:
    directory = Path(tempfile.mkdtemp())  # Not below pytest's own, which only its owner may enter.
    os.chown(directory, NOBODY, NOBODY)
    server = ExecServerProcess(directory, python_for_everybody(directory), uid=NOBODY)
    try:
        sandbox = LoopbackSandbox(server.client)
        assert sandbox.exec("id -u").stdout == f"{NOBODY}\n"
        sandbox.hold_to(behaviours_of(pytestconfig))
        with pytest.raises(RemotePermissionError, match="root"):
            sandbox.exec("id", user="root")
    finally:
        server.close()
        shutil.rmtree(directory)


@as_root
def test_a_time_out_kills_the_tree_of_another_user(client: ExecClient) -> None:
    command = "(setsid sh -c 'echo $$; exec sleep 300' &) ; sleep 300 & echo $!; echo $$; sleep 300"
    pids = client.exec(command, timeout=1, user=str(NOBODY)).stdout.split()
    assert len(pids) == 3
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids) or None, deadline=30, what="their end")


@as_root
def test_a_long_command_of_another_user_is_only_that_users(client: ExecClient) -> None:
    script = f"id -u; stat -c '%a %u' \"$0\"; : {'x' * 200_000}"
    result = client.exec(script, user=str(NOBODY))
    assert result.stdout == f"{NOBODY}\n400 {NOBODY}\n", result.stderr


def test_python_is_there_where_only_python3_was(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    server = ExecServerProcess(tmp_path, environment={"PATH": str(tmp_path)})
    try:
        assert server.client.exec("python -c 'print(42)'").stdout == "42\n"
        assert server.client.exec(["python", "-c", "print(43)"]).stdout == "43\n"
    finally:
        server.close()


def test_a_number_of_background_commands_is_the_limit(tmp_path: Path) -> None:
    with altered_source(MAX_BACKGROUND=8):
        server = ExecServerProcess(tmp_path)
    try:
        running = [server.client.spawn("sleep 300") for _ in range(8)]
        with pytest.raises(SandboxError, match=r"8 .*end some"):
            server.client.spawn("sleep 300")
        assert server.client.exec("echo still here").ok
        running[0].kill()
        running[0].wait(60)
        assert server.client.spawn("true").wait(60).ok
    finally:
        server.close()


def test_finished_commands_are_kept_for_who_asks_again(server: ExecServerProcess) -> None:
    process = server.client.spawn("echo kept")
    process.wait(60)
    for _ in range(100):
        assert server.client.exec("true").ok
    assert process.wait(60).stdout == "kept\n"


def test_more_connections_than_it_takes_are_turned_away_and_it_lives_on(server: ExecServerProcess) -> None:
    crowd = [server.connect() for _ in range(300)]
    for connection in crowd:
        connection.close()
    assert server.client.exec("echo alive").stdout == "alive\n"


@as_root
def test_a_crowd_that_forks_as_fast_as_it_dies_is_gone_soon(server: ExecServerProcess) -> None:
    """As an uid of its own, with a limit that the shell has to confirm before it begins."""
    server.directory.chmod(0o755)
    bomb = "ulimit -u 60 && [ $(ulimit -u) = 60 ] || exit 9; b() { b | b & }; b; sleep 60"
    result = server.client.exec(["bash", "-c", bomb], timeout=0.5, user="24618", cwd="/")
    assert result.return_code == 124
    left = [each for each in Path("/proc").iterdir() if each.name.isdigit() and _lives_as(each, 24618)]
    assert not left


def _lives_as(process: Path, uid: int) -> bool:
    """A dead one that nobody has waited for yet does not."""
    try:
        status = (process / "stat").read_text()
        return process.stat().st_uid == uid and status.rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

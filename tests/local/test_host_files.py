"""What only root of the host may read, root of a task may not, wherever in the host's programs it lies.

The canaries are real files in the real /opt and /usr, under a name of their own, and gone after the tests.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from tests.as_it_stands import nobody_else_changes_the_host
from tests.local.running_tasks import RunningTasks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.root

_SECRET = "a canary that only root may read"
_ODD_NAMES = ("plain", "two words", "new\nline", "-n", "quo'te\"s", "back\\slash", "a:b,c", "umläut", ".ssh", "*")
_TRIES = """
import mmap, os, subprocess, sys
def read(path):
    with open(path, "rb") as file:
        return file.read()
def output(*argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options).stdout
def append(path):
    with open(path, "ab") as file:
        file.write(b"x")
ways = {
    "read": read,
    "mmap": lambda path: mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:],
    "chmod": lambda path: os.chmod(path, 0o644) or read(path),
    "chown": lambda path: os.chown(path, 0, 0) or read(path),
    "append": lambda path: append(path) or read(path),
    "link": lambda path: os.link(path, "/tmp/link") or read("/tmp/link"),
    "chmod of its parent": lambda path: os.chmod(os.path.dirname(path), 0o755) or read(path),
    "rename": lambda path: os.rename(path, "/tmp/moved") or read("/tmp/moved"),
}
programs = {
    "mv": lambda path: output("mv", "--", path, "/tmp/m") or read("/tmp/m"),
}
at_last = {
    "rename of its parent": lambda path: os.rename(os.path.dirname(path), "/opt/p") or read(path),
}
at_once = {
    "tar": lambda paths: output("tar", "cf", "-", "--", *paths),
    "nobody": lambda paths: output("cat", *paths, user=65534),
}
paths = sys.argv[1:]
tries = [(name, way, paths) for name, way in at_once.items()]
tries += [(name, way, path) for name, way in ways.items() for path in paths]
tries += [(name, way, path) for name, way in programs.items() for path in paths[::5]]
tries += [(name, way, path) for name, way in at_last.items() for path in paths]
for name, way, what in tries:
    try:
        if b"only root may" in way(what):
            print(name, repr(what), flush=True)
    except (OSError, ValueError):
        pass
print("tried", len(paths))
"""
_AS_TWO = """
import subprocess, sys
for user in 0, 1:
    try:
        subprocess.run([sys.argv[1], "-u"], user=user, group=user, extra_groups=[])
    except PermissionError:
        print("denied")
"""
_OVERLAY_FOR_A_ROOT = """
set -e
mount -t tmpfs test "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" test "$1/root"
cd "$1/root"
for place in proc sys dev tmp var/tmp; do mount --rbind "/$place" "$place"; done
pivot_root . .
umount -l .
shift
cd "$1"
shift
exec "$@"
"""
_THESE_TESTS = """
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from tests.local import test_host_files as these
from tests.local.running_tasks import RunningTasks

canaries, runner = these.Canaries(), NamespacesRunner(images={}, gate_address=("127.0.0.1", 1))
tasks = RunningTasks(runner)
try:
    canaries.lay("before")
    these.test_what_only_root_of_the_host_may_read_no_task_reads(canaries, tasks)
    these.test_what_everybody_may_read_is_there_and_can_be_changed(canaries, tasks)
    print("2 passed")
finally:
    tasks.close()
    runner.close()
    canaries.remove()
"""


class Canaries:
    """Directories of the host with files that are root's alone, and all the paths that lead to them."""

    def __init__(self) -> None:
        tops = ("/opt", "/usr/share", "/usr/lib", "/usr/local", sys.base_prefix)
        self.places = [Path(top, f"canary-{uuid.uuid4().hex}") for top in tops]
        self.paths: list[Path] = []

    def lay(self, batch: str, *places: Path) -> None:
        """Odd names only at the bottom: each costs more than a dozen attempts."""
        with nobody_else_changes_the_host():
            for place in places or self.places:
                for depth, names in ((1, _ODD_NAMES[:1]), (2, _ODD_NAMES[-2:-1]), (6, _ODD_NAMES)):
                    directory = place.joinpath(batch, *["d"] * depth)
                    directory.mkdir(parents=True)
                    self.fill(directory, names)

    def fill(self, directory: Path, names: Sequence[str] = _ODD_NAMES) -> None:
        for name in names:
            self._write(directory / f"0600 {name}", 0o600)
            closed = directory / f"0700 {name}"
            closed.mkdir()
            self._write(closed / "readable by itself", 0o644)
            closed.chmod(0o700)
        self._write(directory / "0640", 0o640)
        self._write(directory / "0000", 0o000)
        passable = directory / "0711"
        passable.mkdir()
        self._write(passable / "0600", 0o600)
        passable.chmod(0o711)
        for kind in ("symlink", "hard link"):
            link = directory / kind
            target = f"0600 {names[0]}"
            link.symlink_to(target) if kind == "symlink" else link.hardlink_to(directory / target)
            self.paths.append(link)
        (directory / "way in").symlink_to(f"0700 {names[0]}")
        self.paths.append(directory / "way in" / "readable by itself")
        (directory / "for everybody").write_text("everybody may")

    def _write(self, path: Path, mode: int) -> None:
        path.write_text(_SECRET)
        path.chmod(mode)
        self.paths.append(path)

    def remove(self) -> None:
        with nobody_else_changes_the_host():
            for place in self.places:
                shutil.rmtree(place)


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    canaries = Canaries()
    try:
        canaries.lay("before")
        yield canaries
    finally:
        canaries.remove()


def _try(tasks: RunningTasks, paths: list[Path]) -> None:
    started = tasks.start("python3", "-c", _TRIES, *map(str, paths))
    assert started.wait().code == 0
    assert started.output == f"tried {len(paths)}\n"


def test_what_only_root_of_the_host_may_read_no_task_reads(canaries: Canaries, tasks: RunningTasks) -> None:
    _try(tasks, canaries.paths)
    _, output = tasks.run(f"grep -rsl 'only root may' {' '.join(map(str, canaries.places))}; echo searched")
    assert output == "searched\n"


def test_what_came_to_stand_there_after_the_image_was_made_no_task_reads(
    canaries: Canaries, runner: NamespacesRunner, tasks: RunningTasks
) -> None:
    runner.pull("host")
    known = len(canaries.paths)
    canaries.lay("after", canaries.places[0], canaries.places[-1])
    _try(tasks, canaries.paths[known:])


def test_what_is_closed_while_a_task_runs_is_closed_to_it(canaries: Canaries, tasks: RunningTasks) -> None:
    late = canaries.places[0] / "late"
    late.write_text(_SECRET)
    started = tasks.shell(f"cat {late}; echo; while ! test -e /tmp/go; do sleep 0.05; done; cat {late}")
    started.wait_for(_SECRET)
    with nobody_else_changes_the_host():
        late.chmod(0o600)
    assert started.task.run_check("main", ["touch", "/tmp/go"], 10) == 0
    assert started.wait().code == 1
    assert started.output.count(_SECRET) == 1


def test_what_everybody_may_read_is_there_and_can_be_changed(canaries: Canaries, tasks: RunningTasks) -> None:
    public = canaries.places[1] / "before/d/for everybody"
    kept = public.stat()
    script = (
        f"cat {shlex.quote(str(public))}; echo; echo changed > {shlex.quote(str(public))}; chmod 700 / /usr/bin/env"
    )
    code, output = tasks.run(f"{script}; cat {shlex.quote(str(public))}; mv /usr/bin/env /usr/bin/e; /usr/bin/e true")
    assert (code, output) == (0, "everybody may\nchanged\n")
    assert public.read_text() == "everybody may"
    assert public.stat().st_mtime_ns == kept.st_mtime_ns


def test_no_name_in_a_directory_near_the_top_is_told(canaries: Canaries, tasks: RunningTasks) -> None:
    _, output = tasks.run(f"find {' '.join(map(str, canaries.places))} -maxdepth 2; ls -A /etc/ssl/private")
    assert "for everybody" not in output  # it is at depth 3
    closed = canaries.places[0] / "closed"
    with nobody_else_changes_the_host():
        closed.write_text(_SECRET)
        closed.chmod(0o600)
    os.utime("/opt")  # who puts something there changes it
    _, output = tasks.run(f"ls {canaries.places[0]}")
    assert "before" in output
    assert "closed" not in output


def test_programs_that_only_some_may_read_and_locks_work_as_ever(canaries: Canaries, tasks: RunningTasks) -> None:
    helper = canaries.places[3] / "helper"
    with nobody_else_changes_the_host():
        shutil.copy("/usr/bin/id", helper)
    for mode, answer in ((0o4711, "0"), (0o4750, "denied")):
        with nobody_else_changes_the_host():
            helper.chmod(mode)
        os.utime("/opt")
        started = tasks.start("python3", "-c", _AS_TWO, str(helper))
        started.wait()
        assert started.output == f"0\n{answer}\n"
    locks = "/var/lib/dpkg/lock /var/lib/dpkg/lock-frontend"
    if all(map(os.path.exists, locks.split())):
        assert tasks.run(f"for f in {locks}; do echo >> $f || exit 1; done") == (0, "")


@pytest.fixture
def own_file_system(canaries: Canaries) -> Iterator[Path]:
    """Something in the programs that is mounted there, as a disk for /opt would be."""
    point = canaries.places[0] / "mounted"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "test", point], check=True)
    try:
        canaries.paths.clear()
        canaries.fill(point)
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_file_system_of_its_own_is_seen_with_the_same_eyes(own_file_system: Path, canaries: Canaries) -> None:
    runner = NamespacesRunner(images={}, gate_address=("127.0.0.1", 1))  # one sees the mounts of when it began
    tasks = RunningTasks(runner)
    try:
        _try(tasks, canaries.paths)
        assert tasks.run(f"cat '{own_file_system}/for everybody'") == (0, "everybody may")
    finally:
        tasks.close()
        runner.close()


@pytest.mark.long
@pytest.mark.needs("busybox", "namespaces")
def test_where_the_kernel_stacks_no_second_overlay_it_is_searched_for(tmp_path: Path) -> None:
    """In a container of an engine's own, say: its root is an overlay already."""
    these = [sys.executable, "-c", _THESE_TESTS]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _OVERLAY_FOR_A_ROOT, "sh", tmp_path, Path.cwd(), *these],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "2 passed\n"), done.stdout[-5000:] + done.stderr[-2000:]

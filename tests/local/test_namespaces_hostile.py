"""Code that wants out of its container: to the host, the engine, a neighbour. Each test is one way that is closed.

What can be tried from inside of a sandbox, alone, is tried by ``tests/hostile/``, on all runners.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.local.runners.runner_contract import Mount
from pytest_fargate_sandbox.local.runners.task_limits import most_of_a_container, most_processes
from tests.hostile.host_inodes import HostInodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.running_tasks import RunningTasks

pytestmark = pytest.mark.needs("namespaces")
needs_root = pytest.mark.root

# It has bounds of its own, in number and in time, for a machine that sets none. Most of what it may have are threads
# that sleep, which count as processes do and cost next to nothing.
_FORK_BOMB = """
import _thread, os, signal, sys
most, room = int(sys.argv[1]), 64
signal.alarm(60)
told, tell = os.pipe()
if os.fork() == 0:
    asleep = _thread.allocate_lock()
    asleep.acquire()
    _thread.stack_size(1 << 15)
    for _ in range(most - room):
        _thread.start_new_thread(asleep.acquire, ())
    os.write(tell, b".")
    signal.pause()
os.read(told, 1)
made = most - room
try:
    while made < most + room:
        if os.fork() == 0:
            signal.alarm(60)
            while made % 8 == 0:
                pass
            signal.pause()
        made += 1
    print("made them all", flush=True)
except OSError as error:
    print(error.strerror, "after", made, flush=True)
    while True:
        try:
            os._exit(0) if os.fork() == 0 else os.wait()
        except OSError:
            pass
"""


_TWENTY = "for each in $(seq 20); do sleep 0.1 & done; wait"
_CHANGE_DESCRIPTORS = """
import os
for number in (0, 1, 2):
    try:
        os.fchmod(number, 0o1666)
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def image_with_traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose links would lead a careless runner onto the host."""
    image = tmp_path_factory.mktemp("traps")
    image.chmod(0o755)
    victim = tmp_path_factory.mktemp("victim")
    for name in ("proc", "dev", "etc", "shared"):
        (image / name).symlink_to(victim)
    for name in ("bin", "lib", "lib64", "usr"):
        if Path("/", name).is_symlink():
            (image / name).symlink_to(Path("/", name).readlink())
    return image


@pytest.fixture(scope="module")
def image_with_device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("device")
    image.chmod(0o755)
    if os.geteuid() == 0:
        os.mknod(image / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    return image


@pytest.fixture(scope="module")
def runner(image_with_traps: Path, image_with_device: Path) -> Iterator[NamespacesRunner]:
    images = {"traps": (str(image_with_traps), "/"), "device": (str(image_with_device), "/")}
    runner = NamespacesRunner(images=images, gate_address=("127.0.0.1", 1))
    yield runner
    runner.close()


def test_nothing_of_the_engine_is_inherited(tasks: RunningTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    _, output = tasks.run("cat /proc/1/environ | tr '\\0' '\\n'; for fd in /proc/1/fd/*; do readlink $fd; done")
    variables = [line.partition("=")[0] for line in output.splitlines() if "=" in line]
    assert sorted(variables) == ["HOME", "HOSTNAME", "PATH"]
    descriptors = [line.partition(":")[0] for line in output.splitlines() if "=" not in line]
    assert descriptors == ["/dev/null", "pipe", "pipe"]


def test_what_a_program_is_started_with_leads_to_no_inode_of_the_host(tasks: RunningTasks) -> None:
    host = HostInodes()
    try:
        task = tasks.open()
        main = tasks.start(
            "python3",
            "-c",
            f"{_CHANGE_DESCRIPTORS}\nprint('changed', flush=True)\nimport time; time.sleep(60)",
            task=task,
        )
        main.wait_for("changed")
        assert task.run_check("main", ["python3", "-c", _CHANGE_DESCRIPTORS], 30) == 0
        assert host.changes() == []
    finally:
        host.restore()


def test_only_the_containers_own_processes_are_seen_and_killed(tasks: RunningTasks) -> None:
    task = tasks.open()
    neighbour = tasks.start("sleep", "60", task=task, name="neighbour")
    other_task = tasks.start("sleep", "60")
    _, output = tasks.run("ls /proc | grep -c '^[0-9]'; kill -9 -1; echo survived", task=task)
    assert int(output.split()[0]) <= 4
    assert output.endswith("survived\n")
    assert neighbour.task.run_check("neighbour", ["true"], 5) == 0
    assert other_task.task.run_check("main", ["true"], 5) == 0


def test_links_in_an_image_lead_the_runner_nowhere(
    tasks: RunningTasks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victims = list(tmp_path_factory.getbasetemp().glob("victim*"))
    task = tasks.open(volumes=("shared",))
    try:
        tasks.run("true", image="traps", task=task, mounts=(Mount("shared", "/shared/inner"),))
    except Exception:  # refusing such an image is as good as running it in a root of its own
        pass
    assert victims
    assert all(not list(victim.iterdir()) for victim in victims)


@needs_root
def test_a_device_in_an_image_cannot_be_opened(tasks: RunningTasks) -> None:
    _, output = tasks.run("head -c 1 /device; ls -l /device", image="device")
    assert "Permission denied" in output
    assert "1, 5" in output


_EXECUTED_AS_THE_ENGINE = """#!/proc/self/exe
import os
own = os.stat("/proc/self/exe")
with open("/shared/seen", "a") as seen:
    print(own.st_dev, own.st_ino, os.readlink("/proc/self/exe"), file=seen)
"""


def test_what_is_executed_by_the_name_of_the_engines_own_program_is_a_copy_of_it(tasks: RunningTasks) -> None:
    """Else root of a container could make the host's interpreter setuid, or take its mode away."""
    task = tasks.open(volumes=("shared",))
    given = {"task": task, "mounts": (Mount("shared", "/shared"),), "environment": {"SCRIPT": _EXECUTED_AS_THE_ENGINE}}
    main = tasks.shell('echo "$SCRIPT" > /shared/program; chmod +x /shared/program; echo up; sleep 60', **given)
    main.wait_for("up")
    assert tasks.start("/shared/program", name="by-its-entry-point", **given).wait().code == 0
    assert task.run_check("main", ["/shared/program"], 10) == 0
    _, seen = tasks.run("cat /shared/seen", name="looks", **given)
    hosts = Path(sys.executable).stat()
    assert len(seen.splitlines()) == 2
    for line in seen.splitlines():
        *inode, path = line.split(maxsplit=2)
        assert inode != [str(hosts.st_dev), str(hosts.st_ino)]
        assert path.startswith("/memfd:")


def test_who_enters_for_a_health_check_cannot_be_traced(tasks: RunningTasks) -> None:
    """A container's process that waits for the checks and tries to read the memory of each new process at once."""
    spy = (
        "import os\n"
        "print('up', flush=True)\n"
        "seen = set()\n"
        "while True:\n"
        "  for pid in (p for p in os.listdir('/proc') if p.isdecimal() and p != '1'):\n"
        "    try:\n"
        "      exe = os.readlink(f'/proc/{pid}/exe')\n"
        "      if exe not in seen: seen.add(exe); print(exe, flush=True)\n"
        "    except OSError: pass\n"
    )
    started = tasks.start("python3", "-c", spy)
    started.wait_for("up")
    for _ in range(20):
        assert started.task.run_check("main", ["/bin/cat", "/dev/null"], 10) == 0
    started.task.stop("main", 0)
    started.wait()
    assert "python" not in started.output


def test_a_fork_bomb_is_its_own_tasks_trouble_and_ends_with_it(tasks: RunningTasks) -> None:
    neighbour = tasks.start("sleep", "100")
    task = tasks.open(cpu_units=512)
    is_root = os.geteuid() == 0
    most = most_of_a_container() if is_root else most_processes()
    tasks.start("sleep", "100", task=task, name="beside")
    bomb = tasks.start("python3", "-c", _FORK_BOMB, str(most), task=task)
    bomb.wait_for("after")
    words, _, made = bomb.output.partition(" after ")
    assert words == "Resource temporarily unavailable"
    assert int(made.splitlines()[0]) <= most  # a child may say something too, as it ends
    began = time.monotonic()
    for _ in range(5):
        assert neighbour.task.run_check("main", ["/bin/true"], 10) == 0
    assert not is_root or task.run_check("beside", ["/bin/sh", "-c", _TWENTY], 10) == 0
    assert subprocess.run(["/bin/true"], check=True, timeout=10).returncode == 0
    assert time.monotonic() - began < 10
    bomb.task.stop("main", 0)
    assert bomb.wait().code == 137
    bomb.task.close()
    assert time.monotonic() - began < 20
    assert tasks.run("true") == (0, "")


def test_a_health_check_counts_as_its_container(tasks: RunningTasks) -> None:
    wait = "while ! test -e /tmp/done; do sleep 0.05; done"
    started = tasks.shell(
        f"{wait}; (cat /proc/self/cgroup; ulimit -a) | diff - /tmp/of-check && echo the same; sleep 60"
    )
    check = "(cat /proc/self/cgroup; ulimit -a) > /tmp/of-check; touch /tmp/done"
    assert started.task.run_check("main", ["/bin/sh", "-c", check], 10) == 0
    started.wait_for("\n")  # it goes on, or its end were the check's too
    assert started.output == "the same\n"

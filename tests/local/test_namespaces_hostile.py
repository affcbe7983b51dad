"""Code that wants out of its container: to the host, the engine, a neighbour. Each test is one way that is closed."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.local.runners.runner_contract import Mount
from pytest_fargate_sandbox.local.runners.task_limits import most_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.running_tasks import RunningTasks

pytestmark = pytest.mark.needs("namespaces")
needs_root = pytest.mark.root

_SYSTEM_CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, function, *arguments):
    result = function(*arguments)
    print(name, 'done' if result >= 0 else os.strerror(ctypes.get_errno()), sep=': ', flush=True)
os.mkdir('/m')
call('mount', libc.mount, b'none', b'/m', b'tmpfs', 0, None)
call('remount', libc.mount, b'none', b'/', None, 32, None)
call('umount', libc.umount2, b'/proc/sys', 2)
call('unshare user', libc.unshare, 0x10000000)
call('unshare mount', libc.unshare, 0x20000)
call('setns', libc.setns, os.open('/proc/self/ns/net', os.O_RDONLY), 0)
call('mknod', libc.mknod, b'/disk', 0o60660, os.makedev(254, 0))
call('keyctl', libc.syscall, 250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0)
call('bpf', libc.syscall, 321 if os.uname().machine == 'x86_64' else 280, 0, 0, 0)
call('handle', libc.open_by_handle_at, -100, ctypes.create_string_buffer(32), 0)
call('sethostname', libc.sethostname, b'x', 1)
call('reboot', libc.reboot, 0)
call('settime', libc.settimeofday, ctypes.create_string_buffer(16), None)
call('syslog', libc.klogctl, 3, ctypes.create_string_buffer(4096), 4096)
X86 = os.uname().machine == 'x86_64'
for name, on_x86, elsewhere, *arguments in (
    ('io_uring', 425, 425, 1, ctypes.create_string_buffer(128)), ('userfaultfd', 323, 282, 1),
    ('perf', 298, 241, ctypes.create_string_buffer(128), 0, -1, -1, 0), ('quotactl', 179, 60, 0, 0, 0, 0),
    ('add_key', 248, 217, b'user', b'k', b'v', 1, -3), ('request_key', 249, 218, b'user', b'k', 0, -3),
    ('kcmp', 312, 272, 1, 1, 0, 0, 0), ('fanotify', 300, 262, 0, 0), ('pidfd_getfd', 438, 438, 0, 0, 0),
    ('mempolicy', 239, 236, 0, 0, 0, 0, 0), ('clock', 227, 112, 0, ctypes.create_string_buffer(16)),
    ('personality', 135, 92, 0x0040000), ('fsopen', 430, 430, b'tmpfs', 0), ('mount_setattr', 442, 442, 0, 0, 0, 0, 0),
    ('vsock', 41, 198, 40, 1, 0), ('vsock datagrams', 41, 198, 40, 2, 0), ('alg', 41, 198, 38, 5, 0),
    ('decnet', 41, 198, 12, 1, 0), ('family of tomorrow', 41, 198, 46, 1, 0),
):
    call(name, libc.syscall, on_x86 if X86 else elsewhere, *arguments)
call('clone user', libc.syscall, 56 if os.uname().machine == 'x86_64' else 220, 0x10000000 | 17, 0, 0, 0, 0)
"""

# It has bounds of its own, in number and in time, for a machine that sets none.
_FORK_BOMB = """
import os, signal
def spin(*_):
    while True:
        pass
signal.signal(signal.SIGUSR1, spin)
signal.alarm(60)
made = 0
try:
    while made < 6000:
        if os.fork() == 0:
            signal.alarm(60)
            if made % 20:
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            while True:
                signal.pause()
        made += 1
    print("made them all", flush=True)
except OSError as error:
    print(error.strerror, "after", made, flush=True)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.kill(-1, signal.SIGUSR1)
    while True:
        try:
            os._exit(0) if os.fork() == 0 else os.wait()
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


def test_no_system_call_leads_to_new_rights(tasks: RunningTasks) -> None:
    started = tasks.start("python3", "-c", _SYSTEM_CALLS)
    started.wait()
    outcomes = dict(line.split(": ") for line in started.output.splitlines())
    assert len(outcomes) == 34
    assert set(outcomes.values()) == {"Operation not permitted"}, outcomes


_ALLOWED_CALLS = """
import ctypes, errno, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as ping:
    ping.settimeout(5)
    body = struct.pack('!BBHHH', 8, 0, 0, 7, 1)
    checksum = ~sum(struct.unpack('!4H', struct.pack('!BBHHH', 8, 0, 0, 7, 1)[:8])) & 0xffff
    ping.sendto(struct.pack('!BBHHH', 8, 0, checksum, 7, 1), ('127.0.0.1', 0))
    kinds = {ping.recv(100)[20], ping.recv(100)[20]}
    assert kinds == {8, 0}, kinds  # the request comes round as well
for family, kind in ((socket.AF_NETLINK, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW), (1, 1), (10, 1)):
    socket.socket(family, kind).close()
assert libc.personality(ctypes.c_ulong(0xffffffff)) == 0 == libc.personality(ctypes.c_ulong(0))
assert libc.syscall(466 + 100, 0) == -1 and ctypes.get_errno() == errno.ENOSYS
assert os.memfd_create('x') > 2 and os.pidfd_open(os.getpid()) > 2
print('all of it works')
"""


def test_what_docker_allows_works(tasks: RunningTasks) -> None:
    started = tasks.start("python3", "-c", _ALLOWED_CALLS)
    started.wait()
    assert started.output == "all of it works\n"


def test_only_dockers_capabilities_are_left_and_none_that_opens_the_host(tasks: RunningTasks) -> None:
    _, output = tasks.run("grep Cap /proc/self/status")
    masks = {line.split()[0]: int(line.split()[1], 16) for line in output.splitlines()}
    sys_admin, net_admin, sys_module, mknod, sys_ptrace, dac_read_search = 21, 12, 16, 27, 19, 2
    for number in (sys_admin, net_admin, sys_module, mknod, sys_ptrace, dac_read_search):
        assert not masks["CapBnd:"] >> number & 1
        assert not masks["CapEff:"] >> number & 1
    assert masks["CapInh:"] == masks["CapAmb:"] == 0


def test_the_kernels_switches_cannot_be_turned(tasks: RunningTasks) -> None:
    switches = "/proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches /sys/kernel/mm/ksm/run"
    _, output = tasks.run(f"for f in {switches}; do (echo x > $f) 2>/dev/null && echo wrote $f; done; echo tried")
    assert output == "tried\n"


def test_the_hosts_private_files_are_not_there(tasks: RunningTasks, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the test")
    places = f"{secret} /root/.ssh /root/.aws /root/.bashrc /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key"
    places += f" /var/run/docker.sock /run/systemd /var/lib/docker /etc/machine-id {Path(__file__).parent}"
    _, output = tasks.run(
        f"for f in {places}; do test -e $f && echo $f; done; ls -A /home /mnt /srv /media /var/log /tmp"
    )
    assert not [line for line in output.splitlines() if line and not line.endswith(":")]


def test_no_password_of_the_host_is_in_the_accounts(tasks: RunningTasks) -> None:
    _, output = tasks.run("cat /etc/shadow")
    assert output.startswith("root:*:")
    assert {line.split(":")[1] for line in output.splitlines()} == {"*"}


def test_nothing_of_the_engine_is_inherited(tasks: RunningTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    _, output = tasks.run("cat /proc/1/environ | tr '\\0' '\\n'; for fd in /proc/1/fd/*; do readlink $fd; done")
    variables = [line.partition("=")[0] for line in output.splitlines() if "=" in line]
    assert sorted(variables) == ["HOME", "HOSTNAME", "PATH"]
    descriptors = [line.partition(":")[0] for line in output.splitlines() if "=" not in line]
    assert descriptors == ["/dev/null", "pipe", "pipe"]


def test_only_the_containers_own_processes_are_seen_and_killed(tasks: RunningTasks) -> None:
    task = tasks.open()
    neighbour = tasks.start("sleep", "60", task=task, name="neighbour")
    other_task = tasks.start("sleep", "60")
    _, output = tasks.run("ls /proc | grep -c '^[0-9]'; kill -9 -1; echo survived", task=task)
    assert int(output.split()[0]) <= 4
    assert output.endswith("survived\n")
    assert neighbour.task.run_check("neighbour", ["true"], 5) == 0
    assert other_task.task.run_check("main", ["true"], 5) == 0


def test_the_old_trick_with_chroot_ends_in_the_container(tasks: RunningTasks, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.touch()
    trick = (
        "import os\n"
        "os.mkdir('/jail'); here = os.open('/', os.O_RDONLY); os.chroot('/jail'); os.fchdir(here)\n"
        "for _ in range(64): os.chdir('..')\n"
        "os.chroot('.')\n"
        f"print(os.path.exists({str(marker)!r}), os.path.exists('/jail'))\n"
    )
    started = tasks.start("python3", "-c", trick)
    started.wait()
    assert started.output == "False True\n"


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


def test_sockets_of_the_host_without_a_path_cannot_be_reached(tasks: RunningTasks) -> None:
    name = f"\0fargate-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        started = tasks.start("python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})")
        started.wait()
    assert "Connection refused" in started.output


def test_a_neighbours_ports_cannot_be_reached(tasks: RunningTasks) -> None:
    serve = "import socket, time; s = socket.create_server(('', 7100)); print('up', flush=True); time.sleep(60)"
    neighbour = tasks.start("python3", "-c", serve)
    neighbour.wait_for("up")
    attempt = f"import socket; socket.create_connection(({neighbour.task.address!r}, 7100), 3)"
    started = tasks.start("python3", "-c", attempt)
    started.wait()
    assert "Connection refused" in started.output


def test_the_interpreter_of_the_host_cannot_be_changed(tasks: RunningTasks) -> None:
    script = (
        "import os, sys\n"
        "for path in (os.__file__, os.path.realpath(sys.executable)):\n"
        "  try: open(path, 'r+b').write(b'# evil'); print('wrote')\n"
        "  except OSError as e: print('refused')\n"
    )
    before = Path(os.__file__).stat().st_mtime_ns
    tasks.start("python3", "-c", script).wait()
    assert Path(os.__file__).stat().st_mtime_ns == before


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
    bomb = tasks.start("python3", "-c", _FORK_BOMB, task=tasks.open(cpu_units=512))
    bomb.wait_for("after")
    words, _, made = bomb.output.partition(" after ")
    assert words == "Resource temporarily unavailable"
    assert int(made.splitlines()[0]) <= most_processes()  # a child may say something too, as it ends
    began = time.monotonic()
    for _ in range(5):
        assert neighbour.task.run_check("main", ["/bin/true"], 10) == 0
    assert subprocess.run(["/bin/true"], check=True, timeout=10).returncode == 0
    assert time.monotonic() - began < 10
    bomb.task.stop("main", 0)
    assert bomb.wait().code == 137
    bomb.task.close()
    assert time.monotonic() - began < 20
    assert tasks.run("true") == (0, "")


def test_a_health_check_counts_as_its_container(tasks: RunningTasks) -> None:
    wait = "while ! test -e /tmp/done; do sleep 0.05; done"
    started = tasks.shell(f"{wait}; (cat /proc/self/cgroup; ulimit -a) | diff - /tmp/of-check && echo the same")
    check = "(cat /proc/self/cgroup; ulimit -a) > /tmp/of-check; touch /tmp/done"
    assert started.task.run_check("main", ["/bin/sh", "-c", check], 10) == 0
    started.wait()
    assert started.output == "the same\n"

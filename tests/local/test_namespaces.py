"""The namespaces runner against the real kernel, as whoever runs the tests."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.namespaces import NamespacesRunner, available
from pytest_fargate_sandbox.local.runner import CannotPull, CannotStart, Mount
from pytest_fargate_sandbox.providers.keys import fresh_key_pair
from pytest_fargate_sandbox.providers.ssh import SshTunnel
from tests.local.running_tasks import PATIENCE, RunningTasks
from tests.real_sshd import need_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_root = pytest.mark.root


@pytest.fixture(scope="module")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system that holds nothing but busybox and names for its parts."""
    busybox = shutil.which("busybox")
    if busybox is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have busybox installed (Debian: busybox-static)")
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    root = tmp_path_factory.mktemp("busybox")
    root.chmod(0o755)
    (root / "bin").mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "ls", "cat", "sleep", "id", "echo", "nc"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/marker").write_text("ours")
    return root


@pytest.fixture(scope="module")
def gate() -> Iterator[socket.socket]:
    """What stands for the engine's gate: it answers each connection with what it was sent, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer_in_capitals, args=(listener,), daemon=True).start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)


def _answer_in_capitals(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer_one_in_capitals, args=(connection,), daemon=True).start()


def _answer_one_in_capitals(connection: socket.socket) -> None:
    with connection:
        connection.sendall(connection.recv(1000).upper())


@pytest.fixture(scope="module")
def runner(busybox_image: Path, gate: socket.socket) -> Iterator[NamespacesRunner]:
    problem = available()
    if problem is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must be able to make namespaces: {problem}")
        pytest.skip(problem)
    images = {
        "busybox": (str(busybox_image),),
        "layered": (str(busybox_image), "/"),
        "lost": ("/no/such/directory",),
    }
    runner = NamespacesRunner(images=images, gate_address=gate.getsockname())
    yield runner
    runner.close()


@pytest.fixture
def tasks(runner: NamespacesRunner) -> Iterator[RunningTasks]:
    tasks = RunningTasks(runner)
    yield tasks
    tasks.close()


def test_the_exit_code_is_the_programs(tasks: RunningTasks) -> None:
    assert tasks.run("exit 7") == (7, "")


def test_death_by_a_signal_is_128_and_its_number(tasks: RunningTasks) -> None:
    assert tasks.run("sh -c 'kill -SEGV $$'")[0] == 128 + signal.SIGSEGV


def test_stdout_and_stderr_come_in_the_order_written(tasks: RunningTasks) -> None:
    assert tasks.run("echo one; echo two >&2; echo three") == (0, "one\ntwo\nthree\n")


def test_all_of_a_large_output_arrives_before_the_exit(tasks: RunningTasks) -> None:
    started = tasks.shell("head -c 5000000 /dev/zero; echo end")
    started.wait()
    assert len(b"".join(started.chunks)) == 5_000_000 + len("end\n")


def test_entry_point_and_command_are_joined(tasks: RunningTasks) -> None:
    started = tasks.start("b c", "d", entry_point=("/usr/bin/printf", "[%s]"))
    started.wait()
    assert started.output == "[b c][d]"


def test_the_environment_is_what_was_given_and_dockers_own(tasks: RunningTasks) -> None:
    started = tasks.start("env", environment={"GREETING": "hello\nworld", "PATH": "/usr/bin:/bin"})
    started.wait()
    variables = set(started.output.replace("hello\nworld", "hello world").splitlines())
    assert {line.partition("=")[0] for line in variables} == {"GREETING", "PATH", "HOSTNAME", "HOME"}
    assert {"GREETING=hello world", "PATH=/usr/bin:/bin", "HOME=/root"} <= variables


def test_a_very_large_environment_arrives(tasks: RunningTasks) -> None:
    large = {f"LARGE{number}": "ä\n" * 40_000 for number in range(4)}
    assert tasks.run("echo ${#LARGE0} ${#LARGE3}", environment=large) == (0, "120000 120000\n")


def test_the_working_directory_is_made_where_it_is_missing(tasks: RunningTasks) -> None:
    assert tasks.run("pwd", working_directory="/srv/some/where") == (0, "/srv/some/where\n")


def test_the_first_process_is_the_program_itself(tasks: RunningTasks) -> None:
    assert tasks.run("echo $$; exec cat /proc/self/comm") == (0, "1\ncat\n")


def test_a_missing_program_cannot_start_and_says_so_as_fargate_does(tasks: RunningTasks) -> None:
    with pytest.raises(
        CannotStart, match=r'^CannotStartContainerError: .*exec: "nope": executable file not found in \$'
    ):
        tasks.start("nope")
    with pytest.raises(CannotStart, match=r'exec: "/bin/nope": stat /bin/nope: no such file or directory: unknown$'):
        tasks.start("/bin/nope")
    with pytest.raises(CannotStart, match=r'exec: "/etc/passwd": permission denied'):
        tasks.start("/etc/passwd")


def test_no_program_at_all_cannot_start(tasks: RunningTasks) -> None:
    with pytest.raises(CannotStart, match="no command specified"):
        tasks.start()


def test_an_image_that_nobody_mapped_cannot_be_pulled_and_two_ways_out_are_named(tasks: RunningTasks) -> None:
    with pytest.raises(CannotPull, match=r"^CannotPullContainerError: .*python:3: not found.*") as caught:
        tasks.runner.pull("python:3")
    assert "--image python:3=DIR" in str(caught.value)
    assert "--runner podman" in str(caught.value)


def test_an_image_mapped_to_a_missing_directory_names_it(tasks: RunningTasks) -> None:
    with pytest.raises(CannotPull, match="/no/such/directory"):
        tasks.runner.pull("lost")


def test_what_a_task_writes_stays_in_it(tasks: RunningTasks) -> None:
    code, output = tasks.run("echo evil > /etc/fargate-test && mkdir -p /root/x /srv/y && rm -f /etc/passwd && ls /etc")
    assert code == 0
    assert "fargate-test" in output.split()
    assert "passwd" not in output.split()
    assert not Path("/etc/fargate-test").exists()
    assert not Path("/srv/y").exists()
    assert Path("/etc/passwd").exists()


def test_two_containers_of_a_task_share_network_and_volume_and_nothing_else(tasks: RunningTasks) -> None:
    task = tasks.open(volumes=("shared",))
    mounts = (Mount("shared", "/shared"),)
    server = tasks.start(
        "python3", "-c",
        "import http.server, os; os.chdir('/shared'); open('private', 'w').write('x'); open('/tmp/own', 'w');"
        "http.server.test(http.server.SimpleHTTPRequestHandler, port=8123, bind='127.0.0.1')",
        task=task, name="server", mounts=mounts,
    )  # fmt: skip
    fetch = (
        "import time, urllib.request as u, os\n"
        "for _ in range(500):\n"
        "  try: print(u.urlopen('http://127.0.0.1:8123/private').read(), os.listdir('/shared'), os.listdir('/tmp'))\n"
        "  except OSError: time.sleep(0.02)\n"
        "  else: break\n"
    )
    client = tasks.start("python3", "-c", fetch, task=task, name="client", mounts=mounts)
    assert client.wait().code == 0
    assert client.output == "b'x' ['private'] []\n"
    task.stop("server", 0)
    assert server.wait().code == 137


def test_a_read_only_volume_and_a_read_only_root_refuse_writes(tasks: RunningTasks) -> None:
    task = tasks.open(volumes=("shared",))
    _, output = tasks.run(
        "touch /x; touch /shared/x; touch /dev/shm/x && echo shm",
        task=task, mounts=(Mount("shared", "/shared", read_only=True),), read_only_root=True,
    )  # fmt: skip
    assert output.count("Read-only file system") == 2
    assert output.endswith("shm\n")


def test_stop_gives_the_program_time_to_end_by_itself(tasks: RunningTasks) -> None:
    started = tasks.shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    started.wait_for("ready")
    started.task.stop("main", 10.0)
    assert started.wait().code == 3
    assert started.output == "ready\nbye\n"


def test_stop_kills_what_does_not_listen_when_the_grace_is_over(tasks: RunningTasks) -> None:
    started = tasks.shell("trap '' TERM; echo ready; sleep 60")
    started.wait_for("ready")
    began = time.monotonic()
    started.task.stop("main", 0.3)
    assert 0.3 <= time.monotonic() - began < 2.0
    assert started.wait().code == 137


def test_stop_of_what_is_gone_is_harmless(tasks: RunningTasks) -> None:
    started = tasks.shell("true")
    started.wait()
    started.task.stop("main", 5.0)
    started.task.stop("unheard-of", 5.0)


def test_ending_the_first_process_ends_all_of_the_container(tasks: RunningTasks) -> None:
    started = tasks.shell("(trap '' HUP TERM; setsid sleep 1234.5 & ) ; echo up; exit 0")
    started.wait()
    assert not _processes_with(b"1234.5")


def test_a_health_check_runs_inside_with_the_containers_environment(tasks: RunningTasks) -> None:
    started = tasks.shell(
        "touch /tmp/alive; echo ready; exec sleep 60", environment={"A": "b", "PATH": "/usr/bin:/bin"}
    )
    started.wait_for("ready")
    assert started.task.run_check("main", ["/bin/sh", "-c", 'test -e /tmp/alive && test "$A" = b'], 5.0) == 0
    assert started.task.run_check("main", ["/bin/sh", "-c", "exit 9"], 5.0) == 9
    assert started.task.run_check("main", ["nope"], 5.0) != 0
    assert started.task.run_check("unheard-of", ["true"], 5.0) != 0


def test_a_health_check_that_hangs_is_killed_and_is_not_healthy(tasks: RunningTasks) -> None:
    started = tasks.shell("exec sleep 60")
    began = time.monotonic()
    assert started.task.run_check("main", ["sleep", "1235.5"], 0.2) != 0
    assert time.monotonic() - began < 3.0
    wait_until(lambda: True if not _processes_with(b"1235.5") else None, deadline=5.0, what="the check's end")


def test_signals_that_the_engine_ignores_are_not_ignored_by_a_program(tasks: RunningTasks) -> None:
    _, output = tasks.run("grep SigIgn /proc/self/status; grep SigBlk /proc/self/status")
    assert {line.split()[1] for line in output.splitlines()} == {"0000000000000000"}


def test_an_image_of_nothing_but_busybox_runs(tasks: RunningTasks) -> None:
    code, output = tasks.run("id -u; ls /; ls /dev; cat /etc/hosts; echo x > /tmp/y", image="busybox")
    assert code == 0
    assert output.split()[0] == "0"
    assert {"bin", "dev", "etc", "proc", "sys", "tmp", "null", "urandom", "localhost"} <= set(output.split())


def test_a_directory_can_lie_over_the_hosts_root(tasks: RunningTasks) -> None:
    code, output = tasks.run("python3 -c 'print(40 + 2)'; ls /home; cat /usr/share/marker", image="layered")
    assert (code, output) == (0, "42\nours")


def test_python_works_in_the_default_image(tasks: RunningTasks) -> None:
    assert tasks.run("python3 -I -S -B -c 'import json, ssl, ctypes; print(1)'") == (0, "1\n")


@needs_root
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("nobody", "65534:65534:/nonexistent"),
        ("4321", "4321:0:/"),
        ("4321:77", "4321:77:/"),
        ("root:daemon", "0:1:/root"),
    ],
)
def test_a_container_runs_as_its_user(tasks: RunningTasks, user: str, expected: str) -> None:
    assert tasks.run("echo $(id -u):$(id -g):$HOME; cat /etc/shadow > /dev/null 2>&1", user=user)[1].split() == [
        expected
    ]


@needs_root
def test_another_user_keeps_no_capability(tasks: RunningTasks) -> None:
    _, output = tasks.run("grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status", user="nobody")
    assert {line.split()[1] for line in output.splitlines()} == {"0000000000000000"}


def test_an_unknown_user_cannot_start(tasks: RunningTasks) -> None:
    with pytest.raises(CannotStart, match="unable to find user somebody: no matching entries in passwd file"):
        tasks.start("true", user="somebody")


@pytest.mark.no_root
def test_without_root_another_user_is_a_clear_error(tasks: RunningTasks) -> None:
    with pytest.raises(CannotStart, match=r"user 'nobody': an engine without root.*podman"):
        tasks.start("true", user="nobody")


def test_as_many_files_may_be_open_as_on_fargate_if_this_machine_allows_it(tasks: RunningTasks) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert tasks.run("ulimit -Sn; ulimit -Hn") == (0, f"{min(hard, 65535)}\n" * 2)


def test_ulimits_are_set(tasks: RunningTasks) -> None:
    assert tasks.run("ulimit -Sn; ulimit -Hn", ulimits=(("nofile", 100, 200),)) == (0, "100\n200\n")


@needs_root
def test_a_container_over_its_memory_is_killed_and_says_so(tasks: RunningTasks) -> None:
    hog = "x = bytearray(200 << 20); print(len(x))"
    started = tasks.start("python3", "-c", hog, task=tasks.open(memory_mib=512), memory_mib=64)
    end = started.wait()
    if end.code == 0:
        pytest.skip("this machine gives no memory cgroup")
    assert (end.code, end.out_of_memory) == (137, True)
    assert end.reason == "OutOfMemoryError: Container killed due to memory usage"


@needs_root
def test_a_task_over_its_memory_is_killed_and_says_so(tasks: RunningTasks) -> None:
    end = tasks.start("python3", "-c", "bytearray(200 << 20)", task=tasks.open(memory_mib=64)).wait()
    assert end.code == 0 or end.out_of_memory


def test_many_tasks_listen_on_the_same_port(tasks: RunningTasks) -> None:
    serve = (
        "import socket, sys\n"
        "s = socket.create_server(('0.0.0.0', 19542))\n"
        "while True:\n"
        "  c, _ = s.accept(); c.sendall(sys.argv[1].encode()); c.close()\n"
    )
    opened = [tasks.open() for _ in range(8)]
    for number, task in enumerate(opened):
        tasks.start("python3", "-c", serve, str(number), task=task)
    assert [_ask(task.address, 19542) for task in opened] == [str(number) for number in range(8)]
    assert len({task.address for task in opened}) == 8


def test_a_port_on_loopback_is_not_reachable_from_outside_and_a_closed_one_no_longer(tasks: RunningTasks) -> None:
    serve = (
        "import socket, time\n"
        "private = socket.create_server(('127.0.0.1', 7001)); public = socket.create_server(('', 7002))\n"
        "c, _ = public.accept(); c.sendall(b'last'); c.close(); public.close(); print('closed', flush=True)\n"
        "time.sleep(60)\n"
    )
    started = tasks.start("python3", "-c", serve)
    assert _ask(started.task.address, 7002) == "last"
    started.wait_for("closed")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((started.task.address, 7001))

    def refused() -> bool | None:
        try:
            socket.create_connection((started.task.address, 7002)).close()
        except ConnectionRefusedError:
            return True
        return None

    wait_until(refused, deadline=PATIENCE, what="the end of port 7002")


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_bytes_pass_a_relay_both_ways_unchanged(tasks: RunningTasks, family: str) -> None:
    echo = (
        "import socket\n"
        f"s = socket.create_server(('', 7003), family=socket.{family})\n"
        "c, _ = s.accept()\n"
        "while d := c.recv(65536): c.sendall(d)\n"
    )
    task = tasks.start("python3", "-c", echo).task
    payload = os.urandom(1 << 20) * 8
    with _connect(task.address, 7003) as client:
        sender = threading.Thread(target=lambda: (client.sendall(payload), client.shutdown(socket.SHUT_WR)))
        sender.start()
        received = bytearray()
        while chunk := client.recv(1 << 16):
            received += chunk
        sender.join()
    assert bytes(received) == payload


def test_the_gate_answers_inside_and_nothing_else_of_the_host_does(tasks: RunningTasks, gate: socket.socket) -> None:
    task = tasks.open(gate_port=4566)
    ask = (
        "import socket\n"
        "c = socket.create_connection(('127.0.0.1', 4566)); c.sendall(b'hello'); print(c.recv(99))\n"
        f"for p in ({gate.getsockname()[1]}, 22):\n"
        "  try: socket.create_connection(('127.0.0.1', p)); print('reached')\n"
        "  except ConnectionRefusedError: print('refused')\n"
    )
    started = tasks.start("python3", "-c", ask, task=task)
    assert started.wait().code == 0
    assert started.output == "b'HELLO'\nrefused\nrefused\n"


def test_more_ports_and_connections_than_are_bearable_harm_nobody(tasks: RunningTasks) -> None:
    greedy = (
        "import resource, socket, time\n"
        "listeners = [socket.create_server(('', 20000 + n)) for n in range(300)]\n"
        "clients = [socket.create_connection(('127.0.0.1', 4566)) for n in range(400)]\n"
        "print('all', flush=True)\n"
        "time.sleep(60)\n"
    )
    task = tasks.open(gate_port=4566)
    started = tasks.start("python3", "-c", greedy, task=task)
    started.wait_for("all")
    _connect(task.address, 20000).close()
    assert task.run_check("main", ["true"], 10.0) == 0
    assert tasks.run("echo others live") == (0, "others live\n")


def test_there_is_no_way_out_of_the_network(tasks: RunningTasks) -> None:
    _, output = tasks.run("python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 3)\"")
    assert "Network is unreachable" in output


_FOREIGN_SIDECAR = """
set -e
mkdir -p /run/sshd /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/their_key
printf '%s\\n' "$AUTHORIZED_KEY" > /root/.ssh/authorized_keys
exec $SSHD -D -e -f /dev/null -p 2222 -h /etc/ssh/their_key -o PermitRootLogin=yes -o StrictModes=no
"""


def test_debians_sshd_answers_at_the_tasks_address(tasks: RunningTasks) -> None:
    key = fresh_key_pair()
    environment = {"AUTHORIZED_KEY": key.public, "SSHD": need_sshd()}
    task = tasks.open()
    sidecar = tasks.shell(_FOREIGN_SIDECAR, task=task, name="their-sidecar", environment=environment)
    sidecar.wait_for("Server listening on 0.0.0.0 port 2222")
    _connect(task.address, 2222).close()
    serve = (
        "import socket\n"
        "s = socket.create_server(('127.0.0.1', 7004)); print('up', flush=True); s.accept()[0].send(b'x')\n"
    )
    tasks.start("python3", "-c", serve, task=task).wait_for("up")
    with SshTunnel(host=task.address, private_key=key.private, key_file=None) as tunnel:
        stream = tunnel.dial(7004)
        stream.settimeout(PATIENCE)
        assert stream.recv(10) == b"x"
        stream.close()
    assert not Path("/etc/ssh/their_key").exists()


@pytest.mark.no_root
def test_without_root_nothing_can_be_given_to_another_but_no_program_fails_of_it(tasks: RunningTasks) -> None:
    script = "touch /tmp/x && chown 33:33 /tmp/x && stat -c %u:%g /tmp/x; python3 -c 'import os; os.setuid(33)'"
    code, output = tasks.run(script)
    assert output.startswith("0:0\n")
    assert "Invalid argument" in output
    assert code == 1


def _ask(address: str, port: int) -> str:
    with _connect(address, port) as client:
        return client.recv(100).decode()


def _connect(address: str, port: int) -> socket.socket:
    def attempt() -> socket.socket | None:
        try:
            return socket.create_connection((address, port), timeout=PATIENCE)
        except ConnectionRefusedError:
            return None

    return wait_until(attempt, deadline=PATIENCE, what=f"a listener at {address}:{port}")


def _processes_with(argument: bytes) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if argument in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:  # noqa: PERF203
            continue
    return found

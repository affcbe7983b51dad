"""The namespaces runner against the real kernel, as whoever runs the tests."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.runner_contract import CannotPull, CannotStart, Mount
from tests.processes import command_lines

if TYPE_CHECKING:
    from tests.local.running_tasks import RunningTasks

needs_root = pytest.mark.root


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
    assert "--runner auto" in str(caught.value)


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
    assert not _runs("1234.5")


def test_a_health_check_runs_inside_with_the_containers_environment(tasks: RunningTasks) -> None:
    started = tasks.shell(
        "touch /tmp/alive; echo ready; exec sleep 60", environment={"A": "b", "PATH": "/usr/bin:/bin"}
    )
    started.wait_for("ready")
    assert started.task.run_check("main", ["/bin/sh", "-c", 'test -e /tmp/alive && test "$A" = b'], 5.0) == 0
    assert started.task.run_check("main", ["/bin/sh", "-c", "exit 9"], 5.0) == 9
    assert started.task.run_check("main", ["nope"], 5.0) != 0
    assert started.task.run_check("unheard-of", ["true"], 5.0) != 0


def test_a_container_that_has_closed_its_memory_is_checked_as_well(tasks: RunningTasks) -> None:
    """As our own server does; to enter the namespaces of such a process takes CAP_SYS_PTRACE over it."""
    hide = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print('hidden', flush=True); time.sleep(60)"
    started = tasks.start("python3", "-c", hide)
    started.wait_for("hidden")
    assert started.task.run_check("main", ["true"], 5.0) == 0


def test_a_health_check_that_hangs_is_killed_and_is_not_healthy(tasks: RunningTasks) -> None:
    started = tasks.shell("exec sleep 60")
    began = time.monotonic()
    assert started.task.run_check("main", ["sleep", "1235.5"], 0.2) != 0
    assert time.monotonic() - began < 3.0
    wait_until(lambda: True if not _runs("1235.5") else None, deadline=30, what="the check's end")


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
@pytest.mark.needs("memory limits")
def test_a_container_over_its_memory_is_killed_and_says_so(tasks: RunningTasks) -> None:
    hog = "x = bytearray(200 << 20); print(len(x))"
    started = tasks.start("python3", "-c", hog, task=tasks.open(memory_mib=512), memory_mib=64)
    end = started.wait()
    assert (end.code, end.out_of_memory) == (137, True)
    assert end.reason == "OutOfMemoryError: Container killed due to memory usage"


@needs_root
@pytest.mark.needs("memory limits")
def test_a_task_over_its_memory_is_killed_and_says_so(tasks: RunningTasks) -> None:
    end = tasks.start("python3", "-c", "bytearray(200 << 20)", task=tasks.open(memory_mib=64)).wait()
    assert end.out_of_memory


@needs_root
@pytest.mark.needs("CPU limits")
def test_a_task_has_as_much_cpu_as_it_asked_for(tasks: RunningTasks) -> None:
    """A quarter of a CPU, for two that want one each; in a container that is told so."""
    burn = "import time; end = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    task = tasks.open(cpu_units=256)
    burners = [tasks.start("python3", "-c", burn, task=task, name=name, cpu_units=64) for name in ("one", "other")]
    for burner in burners:
        burner.wait()
    used = sum(float(burner.output) for burner in burners)
    _, told = tasks.run("cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight", task=task, cpu_units=512)
    assert "512" in told or "20" in told
    assert used < 1.2


@pytest.mark.no_root
def test_without_root_nothing_can_be_given_to_another_but_no_program_fails_of_it(tasks: RunningTasks) -> None:
    script = "touch /tmp/x && chown 33:33 /tmp/x && stat -c %u:%g /tmp/x; python3 -c 'import os; os.setuid(33)'"
    code, output = tasks.run(script)
    assert output.startswith("0:0\n")
    assert "Invalid argument" in output
    assert code == 1


def _runs(argument: str) -> bool:
    return any(argument in line for line in command_lines())

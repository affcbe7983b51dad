"""An engine that is killed or hangs is replaced by one, for all who used it; what it ran is told as lost."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox
from pytest_fargate_sandbox.leaves.errors import SandboxLost, StartError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.process_identity import identity_of, process_began
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.place import engine_process
from pytest_fargate_sandbox.place.engine_process import EngineProcess, Pulse
from pytest_fargate_sandbox.place.local_cluster import local_engine
from pytest_fargate_sandbox.place.local_engine import LocalEngine
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.sweep_beside import sweep_beside
from tests import warm_python
from tests.local.engine_process import alive, processes_of, wait_for_end
from tests.place.own_engine import end_engine_in
from tests.warm_python import Popen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateConfig

_TRIES = 5
ASKER = """
import sys
from pytest_fargate_sandbox.place.local_cluster import local_engine
for _ in sys.stdin:
    print(local_engine().pid, flush=True)
"""
VICTIM = """
import sys, time
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.place.local_cluster import local_engine
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
EcsFargateSandbox(cfg, task_id="orphan", run_id="elsewhere").start()
print(local_engine().pid, flush=True)
time.sleep(60)
"""
HOLDER = """
import fcntl, json, os, sys, time
from pytest_fargate_sandbox.leaves.process_identity import this_process
for name in sys.argv[2:]:
    lock = os.open(os.path.join(sys.argv[1], name), os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, json.dumps(this_process()).encode())
os.setuid(int(os.environ.get("AS_USER", os.geteuid())))
print("held", flush=True)
time.sleep(60)
"""

DYING = """
import ctypes, fcntl, json, os, sys, threading, time
from pytest_fargate_sandbox.leaves.process_identity import this_process
lock = os.open(os.path.join(sys.argv[1], "engine.lock"), os.O_RDWR | os.O_CREAT, 0o666)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, json.dumps(this_process()).encode())
threading.Thread(target=lambda: (time.sleep(1.5), os._exit(0))).start()
print("held", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def directory(warm_engines: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001
    """Where an engine of the test's own is to be."""
    monkeypatch.setenv("FARGATE_ENGINE_DIR", str(tmp_path / "engine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("OPTIONS", "LOG", "LAUNCH_DELAY"):
        monkeypatch.delenv(f"FARGATE_ENGINE_{name}", raising=False)
    (tmp_path / "engine").mkdir()
    yield tmp_path / "engine"
    end_engine_in(tmp_path / "engine")


@pytest.fixture
def mine(directory: Path, local_config: Callable[..., EcsFargateConfig]) -> Iterator[EcsFargateSandbox]:  # noqa: ARG001
    sandbox = EcsFargateSandbox(local_config(), task_id="mine", run_id="run")
    yield sandbox
    sandbox.stop()


class Asker:
    """A run, as far as the engine is concerned."""

    def __init__(self, directory: Path, errors: Path) -> None:
        self._directory, self._errors = directory, errors
        with errors.open("w") as file:
            self.process = Popen[str](
                ["-c", ASKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True
            )

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        engine = [f"{path.name}: {path.read_text()}" for path in sorted(self._directory.glob("engine.*"))]
        assert line.strip().isdecimal(), "\n".join([f"{line!r}, {self._errors.read_text()}", *engine])
        return int(line)


@pytest.fixture
def askers(directory: Path, tmp_path: Path) -> Iterator[list[Asker]]:
    made = [Asker(directory, tmp_path / f"asker{number}") for number in range(3)]
    yield made
    for each in made:
        each.process.communicate()


def answers_of(askers: list[Asker]) -> list[int]:
    for each in askers:
        each.ask()
    return [each.answer() for each in askers]


def test_those_who_meet_the_same_hanging_engine_share_a_new_one_though_one_of_them_dies(
    askers: list[Asker], directory: Path
) -> None:
    hanging, *others = answers_of(askers)
    assert others == [hanging] * 2
    family = processes_of(hanging)
    os.kill(hanging, signal.SIGSTOP)
    threading.Timer(0.7, os.kill, (hanging, signal.SIGCONT)).start()
    assert answers_of(askers) == [hanging] * 3, "a moment is no hang"

    os.kill(hanging, signal.SIGSTOP)
    for each in askers:
        each.ask()
    wait_for_end([hanging])
    askers[0].process.kill()  # it may be the one that is starting the other
    new, other = [each.answer() for each in askers[1:]]
    assert other == new != hanging
    wait_for_end(family)
    found = EngineProcess.of(directory)
    assert found is not None
    assert found.pid == new


def strike(operation: str, number: signal.Signals) -> LocalEngine:
    """The engine, which gets this signal when somebody is about to send it that request."""
    engine = local_engine()
    events = engine.connect()._session.get_component("event_emitter")
    events.register_first(f"before-send.ecs.{operation}", lambda **_: os.kill(engine.pid, number))
    return engine


@pytest.mark.long
def test_a_start_goes_on_though_its_engine_hangs_and_what_a_killed_one_ran_is_lost_by_that_name(
    mine: EcsFargateSandbox,
) -> None:
    hanging = strike("DescribeTasks", signal.SIGSTOP)
    mine.start()
    killed = local_engine()
    assert killed != hanging
    family = processes_of(killed.pid)
    threading.Timer(0.3, os.kill, (killed.pid, signal.SIGKILL)).start()
    began = time.monotonic()
    with pytest.raises(SandboxLost, match=rf"process {killed.pid}\) has ended") as caught:
        mine.exec("sleep 20")
    assert time.monotonic() - began < 15  # not when the command would have ended
    assert caught.value.cause == mine.cause == Cause.ENGINE_LOST
    wait_for_end(family)


@pytest.mark.long
def test_a_start_goes_on_though_its_engine_is_killed_and_a_stop_waits_for_none_that_hangs(
    mine: EcsFargateSandbox, directory: Path
) -> None:
    strike("RunTask", signal.SIGKILL)
    mine.start()
    assert mine.exec("echo started").stdout == "started\n"
    hanging = local_engine()
    family = processes_of(hanging.pid)
    os.kill(hanging.pid, signal.SIGSTOP)
    shown = warm_python.run("-m", "pytest_fargate_sandbox.cli.main", "ps")
    assert shown.returncode == 1
    assert f"the local engine of {directory} (process {hanging.pid}) does not answer" in shown.stderr
    assert alive([hanging.pid]), "who does not use it leaves it alone"
    began = time.monotonic()
    mine.stop()
    assert time.monotonic() - began < 15
    wait_for_end(family)
    assert all(entry.is_over for entry in Ledger("run").entries() if entry.task_arn)


def test_an_engine_that_hangs_elsewhere_delays_no_start(
    sandbox: Callable[..., EcsFargateSandbox], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead process left a task there: it cannot be swept now, which is told."""

    def seconds_of_a_start(name: str) -> float:
        sweep_beside.cache_clear()
        began = time.monotonic()
        with sandbox(name) as mine:
            mine.start()
            return time.monotonic() - began

    sandbox("warm-up").start()
    usual = min(seconds_of_a_start(f"usual-{number}") for number in range(2))
    elsewhere = {**os.environ, "FARGATE_ENGINE_DIR": str(tmp_path / "elsewhere")}
    other = Popen[str](["-c", VICTIM], stdout=subprocess.PIPE, text=True, env=elsewhere)
    assert other.stdout is not None
    hanging = int(other.stdout.readline())
    os.kill(hanging, signal.SIGSTOP)
    other.kill()
    other.communicate()
    try:
        times: list[float] = []
        while len(times) < _TRIES and min(times, default=math.inf) >= usual + 1.0:  # others may have the processors
            times.append(seconds_of_a_start(f"beside-{len(times)}"))
        assert min(times) < usual + 1.0, (times, usual)
        told = wait_until(lambda: next(iter(caplog.messages), None), deadline=60, what="the end of the sweep")
        assert f"the local engine of {tmp_path / 'elsewhere'} may still run" in told
    finally:
        os.kill(hanging, signal.SIGKILL)
        sweep_beside.cache_clear()


def test_an_engine_that_hangs_on_its_way_to_the_end_is_in_nobodys_way(directory: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(directory), "engine.lock", "users.lock"]
    ending = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert ending.stdout is not None
    assert ending.stdout.readline() == b"held\n"
    ending.send_signal(signal.SIGSTOP)
    assert local_engine().connect().call("ecs", "DescribeClusters", clusters=["local"])["clusters"]
    assert alive([ending.pid]) == []
    ending.communicate()


@pytest.mark.parametrize(
    ("does", "pulse"),
    [("time.sleep(60)", Pulse.SILENT), ("exec('while True: pass')", Pulse.BUSY)],
    ids=["sleeps", "is busy"],
)
def test_one_that_is_busy_may_be_silent_for_longer(
    directory: Path, monkeypatch: pytest.MonkeyPatch, does: str, pulse: Pulse
) -> None:
    monkeypatch.setattr(engine_process, "ASLEEP_SEC", 0.5)
    program = f"import time; print('here', flush=True); {does}"
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"here\n"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert EngineProcess(directory, identity_of(other.pid)).pulse(url, 1.0) is pulse
    other.kill()
    other.communicate()


@pytest.fixture
def dying(directory: Path) -> Iterator[EngineProcess]:
    """Its first thread has ended, so that it is not to be killed any more; another has its lock still."""
    process = subprocess.Popen([sys.executable, "-c", DYING, str(directory)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    wait_until(lambda: process_began(process.pid) == "" or None, deadline=10, what="the end of its first thread")
    found = EngineProcess.of(directory)
    assert found is not None
    yield found
    process.communicate()


def test_one_that_is_dying_under_somebody_elses_hand_is_gone_when_it_is_to_be_ended(
    dying: EngineProcess, directory: Path
) -> None:
    assert EngineProcess.of(directory) == dying
    dying.end()
    assert EngineProcess.of(directory) is None


def test_one_that_is_dying_serves_no_more(dying: EngineProcess, directory: Path) -> None:
    nowhere = {"endpoint_url": "http://127.0.0.1:1", "region": "us-east-1", "subnets": [], "security_groups": []}
    keys = {"access_key_id": "AKIA", "secret_access_key": "x", "execution_role_arn": "arn", "runner": "namespaces"}
    (directory / "engine.json").write_text(json.dumps({**dying.facts, **nowhere, **keys}))
    engine = LocalEngine.read(directory)
    assert engine is not None
    assert "has ended" in engine.obituary()


@pytest.mark.root
def test_an_engine_of_another_user_is_not_ended(directory: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(directory), "engine.lock"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "AS_USER": "65534"})
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(StartError, match=r"cannot be ended: it is another user's; end it, or set FARGATE_ENGINE_DIR"):
        local_engine()
    assert holder.poll() is None
    holder.kill()
    holder.communicate()

"""However a run ends, and whenever: no task is left of it, but what was to be kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.records.kept_tasks import kept_task
from pytest_fargate_sandbox.records.ledger import ledger_paths
from tests.adapters.harbor.conftest import NAME
from tests.task_folders import TOML, make_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

LONG = "#!/bin/bash\necho begun\ntouch /tmp/runs\nsleep 300\n"


@pytest.fixture
def process(
    nothing_left: None,  # noqa: ARG001  it looks when all is over
    tmp_path: Path,
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """``process(*options)``: the command line itself, over the folder ``tasks``."""
    began: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "harbor.cli.main",
            "run",
            "-y",
            "-q",
            "-e",
            NAME,
            "-p",
            str(tmp_path / "tasks"),
        ]
        began.append(
            subprocess.Popen(
                [*command, "-a", "oracle", "-o", str(tmp_path / "jobs"), "--ek", "network=none", *options],
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        )
        return began[-1]

    yield run
    for each in began:
        if each.poll() is None:
            each.kill()
            each.communicate()


def wait_for_tasks(engine: EngineOfTests, before: set[str], count: int) -> None:
    wait_until(lambda: len(set(engine.alive()) - before) >= count or None, deadline=60, what=f"{count} tasks")


def wait_for_agent(task: str) -> None:
    """Look into the trial as a person does while it runs."""
    look = [sys.executable, "-m", "pytest_fargate_sandbox.cli.main", "exec", task, "--", "test", "-e", "/tmp/runs"]
    wait_until(
        lambda: subprocess.run(look, capture_output=True, check=False).returncode == 0 or None,
        deadline=60,
        what="the agent's first words",
    )


def test_ctrl_c_saves_what_agents_have_said_and_leaves_no_task_and_no_ledger(
    process: Callable[..., Any], engine: EngineOfTests, tmp_path: Path
) -> None:
    for each in range(3):
        make_task(tmp_path / "tasks" / f"t{each}", solve=LONG)
    before, ledgers = set(engine.alive()), set(ledger_paths())
    running = process("-n", "3", "--ek", "max_tasks=2")  # the third waits for room
    wait_for_tasks(engine, before, 2)
    for task in set(engine.alive()) - before:
        wait_for_agent(task)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert set(engine.alive()) <= before, output
    assert set(ledger_paths()) <= ledgers, output
    said = [path.read_text() for path in (tmp_path / "jobs").glob("*/t*/agent/oracle.txt")]
    assert said == ["begun\n"] * 2, output


def test_a_run_that_is_told_to_end_leaves_no_task_and_no_ledger(
    process: Callable[..., Any], engine: EngineOfTests, tmp_path: Path
) -> None:
    for each in range(2):
        make_task(tmp_path / "tasks" / f"t{each}", solve=LONG)
    before, ledgers = set(engine.alive()), set(ledger_paths())
    running = process()
    wait_for_tasks(engine, before, 2)
    running.terminate()
    output, _ = running.communicate(timeout=60)
    assert set(engine.alive()) <= before, output
    assert set(ledger_paths()) <= ledgers, output


def test_a_run_that_is_interrupted_while_tasks_start_leaves_none(
    process: Callable[..., Any], engine: EngineOfTests, tmp_path: Path
) -> None:
    for each in range(2):
        make_task(tmp_path / "tasks" / f"t{each}")
    before = set(engine.alive())
    engine.fault(slow_pull=20)
    try:
        running = process("-n", "2")
        wait_for_tasks(engine, before, 1)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=40)
    finally:
        engine.fault(slow_pull=0)
    assert set(engine.alive()) <= before, output


def test_what_a_killed_run_left_goes_with_the_next(
    process: Callable[..., Any], engine: EngineOfTests, tmp_path: Path
) -> None:
    make_task(tmp_path / "tasks" / "long", solve=LONG)
    before = set(engine.alive())
    running = process()
    wait_for_tasks(engine, before, 1)
    running.kill()
    running.communicate()
    assert set(engine.alive()) - before
    make_task(tmp_path / "tasks" / "long")
    output, _ = process().communicate(timeout=60)
    assert "1/1 Mean: 1.000" in output
    engine.wait_until_gone(*set(engine.alive()) - before)


def test_a_trial_that_is_cancelled_half_way_ends_its_task_and_no_other(
    environment: Callable[..., Any], engine: EngineOfTests
) -> None:
    async def trial(there: Any, command: str) -> str:
        try:
            await there.start(force_build=False)
            return str((await there.exec(command)).stdout)
        finally:
            await asyncio.shield(there.stop(delete=True))

    async def act() -> None:
        before = set(engine.alive())
        cancelled = asyncio.create_task(trial(environment(), "sleep 300"))
        goes_on = asyncio.create_task(trial(environment(), "sleep 2; echo done"))
        await asyncio.to_thread(wait_for_tasks, engine, before, 2)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await goes_on == "done\n"

    asyncio.run(act())


def test_a_start_that_takes_too_long_and_a_task_that_its_agent_ends_are_told_as_that(
    harbor: Callable[..., Any], engine: EngineOfTests, tmp_path: Path
) -> None:
    slow = make_task(tmp_path / "slow", toml=TOML + "build_timeout_sec = 1.0\n")
    engine.fault(slow_pull=10)
    try:
        assert harbor(slow, "oracle").rewards == {"slow": "EnvironmentStartTimeoutError"}
    finally:
        engine.fault(slow_pull=0)
    ends = make_task(tmp_path / "ends", solve="#!/bin/bash\nkill -TERM 1\nsleep 5\n")
    assert harbor(ends, "oracle").rewards == {"ends": "SandboxLost"}


def test_what_is_not_to_be_deleted_is_kept_and_can_be_entered(
    environment: Callable[..., Any], engine: EngineOfTests
) -> None:
    async def act() -> str:
        there = environment()
        await there.start(force_build=False)
        await there.exec("echo kept > /tmp/kept")
        arn = str(there._sandbox.task_arn)
        await there.stop(delete=False)
        with pytest.raises(RuntimeError, match="has no sandbox"):
            await there.exec("true")
        return arn

    arn = asyncio.run(act())
    assert arn in engine.alive()
    kept = kept_task(arn)
    assert kept
    with EcsFargateSandbox.attach(kept) as sandbox:
        assert sandbox.exec("cat /tmp/kept").stdout == "kept\n"


def test_sixteen_trials_at_once_share_a_definition_and_leave_nothing(
    harbor: Callable[..., Any], engine: EngineOfTests, tmp_path: Path
) -> None:
    for each in range(16):
        make_task(tmp_path / "tasks" / f"t{each}")
    before = engine.count()
    job = harbor(tmp_path / "tasks", "oracle", "-n", "16")
    assert job.rewards == {f"t{each}": 1 for each in range(16)}
    calls = engine.count() - before
    assert calls["RunTask"] == 16
    assert calls["RegisterTaskDefinition"] <= 1


ABANDONED = """
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
for number in range(2):
    sandbox = EcsFargateSandbox(cfg, task_id=f"left-{number}", run_id="left")
    sandbox.start()
    print(sandbox.task_arn)
"""


def test_what_a_program_on_this_python_does_not_stop_ends_with_it(engine: EngineOfTests) -> None:
    """From 3.12 on there are no threads at a program's end, which is when that is done."""
    done = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True, check=False)
    left = set(done.stdout.split())
    assert len(left) == 2
    assert not left & set(engine.alive()), done.stderr
    assert done.stderr == ""

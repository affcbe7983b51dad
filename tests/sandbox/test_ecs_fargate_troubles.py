"""A sandbox on the embedded Fargate whose task, server, way or account does not do its part."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import (
    SandboxLost,
    StartError,
    StartTimeout,
)
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.results import ExecResult
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.lifeline import Lifeline
from tests.lying_server import LyingServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateSandbox
    from tests.engine_of_tests import EngineOfTests


def test_a_command_under_way_when_the_task_dies_is_told_why(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox()
    mine.start()
    arn = str(mine.task_arn)
    stopper = threading.Timer(
        0.5, lambda: engine.aws.call("ecs", "StopTask", cluster="local", task=arn, reason="a whim")
    )
    stopper.start()
    began = time.monotonic()
    with pytest.raises(SandboxLost, match="a whim") as caught:
        mine.exec("sleep 60")
    stopper.join()
    assert time.monotonic() - began < 15
    assert caught.value.cause == Cause.STOPPED_BY_USER
    assert caught.value.task_arn == arn
    assert mine.cause == Cause.STOPPED_BY_USER
    assert not mine.is_running


def test_a_task_that_is_ended_from_within_is_lost_for_what_ran_there_and_for_what_comes(
    sandbox: Callable[..., EcsFargateSandbox],
) -> None:
    mine = sandbox()
    mine.start()
    mine.spawn("trap '' TERM; while :; do sleep 0.1; done")  # so that ECS learns of it when all is told
    with ThreadPoolExecutor() as pool:
        runs = pool.submit(mine.exec, "touch /tmp/runs; sleep 60")
        mine.exec("until [ -e /tmp/runs ]; do sleep 0.05; done")

        def go_on() -> None:
            mine.exec("trap '' TERM; kill -TERM 1")
            while mine.exec("true"):
                pass

        for act in (go_on, runs.result):
            with pytest.raises(SandboxLost) as caught:
                act()
            assert caught.value.cause == Cause.ESSENTIAL_EXITED


def test_a_server_that_always_says_it_is_stopping_costs_one_inquiry_and_not_one_for_each_command(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox()
    mine.start()
    with LyingServer(lambda talk: talk.answer(b"{}", 500)) as server:
        client = ExecClient(port=server.port, token="its own")
        lifeline = Lifeline(mine._machine.running().task, SimpleNamespace(is_well=client.health))  # type: ignore[arg-type]
        killed = ExecResult("", "", 143)
        began = time.monotonic()
        with ThreadPoolExecutor() as pool:
            for _ in range(3):
                assert list(pool.map(lifeline.checked, [killed] * 4)) == [killed] * 4
        assert time.monotonic() - began < 8
        engine.aws.call("ecs", "StopTask", cluster="local", task=str(mine.task_arn), reason="a whim")
        with pytest.raises(SandboxLost, match="a whim"):
            lifeline.checked(killed)
        client.close()


@pytest.mark.root
@pytest.mark.needs("memory limits")  # else it is the machine's
def test_a_command_that_wants_too_much_memory_says_so_and_the_sandbox_lives_on(
    sandbox: Callable[..., EcsFargateSandbox],
) -> None:
    mine = sandbox(cpu="256", memory="512")
    mine.start()
    greedy = mine.exec(["python3", "-c", "b'x' * (900 << 20)"])
    assert (greedy.return_code, greedy.oom_killed) == (137, True)
    modest = mine.exec("kill -9 $$")
    assert (modest.return_code, modest.oom_killed) == (137, False)
    mine.exec("python3 -c 'b\"x\" * (900 << 20)'; exit 2")
    told = r"exit 2, memory ran out \(of \d{3} MiB\), and the kernel killed a process of the container"
    assert re.fullmatch(told, mine.history[-1].state)


HOLDS = """\
import os
open('/proc/self/oom_score_adj', 'w').write('0')
held = os.memfd_create('held')
while True:
    os.write(held, bytes(4 << 20))
"""
"""All that can be had, and hardly any of it counts as this process's own: there are larger ones to be killed for it."""


@pytest.mark.root
@pytest.mark.needs("memory limits")
def test_whatever_takes_all_memory_takes_none_of_the_way_in(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox(cpu="256", memory="512")
    mine.start()
    with pytest.raises(SandboxLost) as caught:
        mine.exec(["python3", "-S", "-c", HOLDS])
    assert caught.value.context["reason"].endswith("; main: OutOfMemoryError: Container killed due to memory usage")


def test_a_launch_that_is_answered_500_for_ever_ends_with_its_time(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox(startup_timeout_sec=1.5)
    engine.fault(server_error=10**6)
    began = time.monotonic()
    try:
        with pytest.raises(StartTimeout, match="startup_timeout_sec") as caught:
            mine.start()
    finally:
        engine.fault(server_error=0)
    assert time.monotonic() - began < 4
    assert "ServerException" in str(caught.value)
    assert (caught.value.phase, caught.value.transient) == ("launch", True)


def test_a_server_that_is_killed_ends_the_sandbox_with_its_exit_code(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    engine.fault(die_after=1)
    try:
        mine = sandbox()
        mine.start()
        with pytest.raises(SandboxLost) as caught:
            mine.exec("sleep 20")
    finally:
        engine.fault(die_after=0)
    assert caught.value.cause == Cause.ESSENTIAL_EXITED
    assert caught.value.exit_codes["main"] == 137


@pytest.mark.parametrize(
    "faults",
    [{"throttle": 2}, {"capacity": 2}, {"missing": 3}, {"fail_start": 1}, {"lost_launch": 1}],
    ids=lambda faults: next(iter(faults)),
)
def test_what_passes_does_not_stop_a_start(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, faults: dict[str, float]
) -> None:
    before = set(engine.alive())
    engine.fault(**faults)
    mine = sandbox()
    try:
        mine.start()
    finally:
        engine.fault(**dict.fromkeys(faults, 0))
    assert mine.exec("true").ok
    assert len(set(engine.alive()) - before) == 1


def test_a_task_that_ecs_does_not_know_yet_is_stopped_all_the_same(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox()
    mine.start()
    arn = str(mine.describe_task()["taskArn"])
    engine.fault(stop_not_found=1)
    mine.stop()
    engine.wait_until_gone(arn)


def test_a_quota_is_told_at_once_with_the_remedy(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    engine.fault(quota=1)
    with pytest.raises(StartError, match="Service Quotas") as caught:
        sandbox().start()
    assert caught.value.cause == Cause.QUOTA


def test_a_task_that_dies_while_it_starts_is_told_and_nothing_is_left(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    before = set(engine.alive())
    mine = sandbox(image_template="no-such-image:1")
    began = time.monotonic()
    with pytest.raises(StartError, match="no-such-image:1") as caught:
        mine.start()
    assert time.monotonic() - began < 10
    assert caught.value.cause == Cause.PULL_FAILED
    assert "execution role" not in str(caught.value), "there is none on the local cluster"
    assert not caught.value.transient
    assert set(engine.alive()) <= before
    assert not mine.is_running
    assert mine.cause == Cause.PULL_FAILED


def test_a_broken_tunnel_is_mended_and_no_command_runs_twice(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    tunnel = mine.ssh_tunnel
    assert tunnel is not None
    breaker = threading.Timer(0.4, lambda: tunnel._connection.close())  # type: ignore[union-attr]
    breaker.start()
    result = mine.exec("echo once >> /tmp/count; sleep 1; cat /tmp/count")
    breaker.join()
    assert result.stdout == "once\n"
    mine.reconnect_tunnel()
    assert mine.exec("cat /tmp/count").stdout == "once\n"


def test_a_task_that_spot_takes_back_says_so(sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests) -> None:
    engine.fault(spot_after=1)
    try:
        mine = sandbox()
        mine.start()
        with pytest.raises(SandboxLost) as caught:
            mine.exec("sleep 20")
    finally:
        engine.fault(spot_after=0)
    assert caught.value.cause == Cause.SPOT_RECLAIMED


def test_a_background_process_of_a_dead_task_is_told_why(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox()
    mine.start()
    process = mine.spawn("sleep 60")
    engine.aws.call("ecs", "StopTask", cluster="local", task=str(mine.task_arn), reason="a whim")
    with pytest.raises(SandboxLost, match="a whim"):
        process.wait(timeout=20)

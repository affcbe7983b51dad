"""``dependsOn`` and health checks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.local.engine_process import WAIT, EngineProcess, container, container_states

if TYPE_CHECKING:
    from pathlib import Path


def _after(name: str, condition: str) -> list[dict[str, str]]:
    return [{"containerName": name, "condition": condition}]


def _check(command: str, **fields: Any) -> dict[str, Any]:
    return {"command": ["CMD-SHELL", command], "interval": 5, "timeout": 2, "retries": 2, **fields}


def test_start_waits_until_the_dependency_runs(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container(dependsOn=_after("first", "START")), container("first")))
    task = engine.wait(arn, "RUNNING")
    assert {state[0] for state in container_states(task).values()} == {"RUNNING"}
    engine.stop(arn)


def test_healthy_waits_for_the_check_and_comes_far_before_its_interval(engine: EngineProcess) -> None:
    mount = [{"sourceVolume": "v", "containerPath": "/mnt/v"}]
    definition = engine.register(
        container(
            "first",
            f"sleep 0.5; touch /mnt/v/ready; {WAIT}",
            mountPoints=mount,
            healthCheck=_check("test -e /mnt/v/ready", interval=60),
        ),
        container(script="test -e /mnt/v/ready && exit 9", mountPoints=mount, dependsOn=_after("first", "HEALTHY")),
        volumes=[{"name": "v"}],
    )
    began = time.monotonic()
    task = engine.wait(engine.launch(definition), "STOPPED")
    assert container_states(task)["main"][1] == 9
    assert 0.5 < time.monotonic() - began < 30


def test_while_a_dependency_is_not_healthy_the_task_stays_pending(engine: EngineProcess) -> None:
    definition = engine.register(
        container("first", healthCheck=_check("exit 1")), container(dependsOn=_after("first", "HEALTHY"))
    )
    arn = engine.launch(definition)
    wait_until(
        lambda: True if container_states(engine.describe(arn))["first"][0] == "RUNNING" else None,
        deadline=30,
        what="the first container",
    )
    time.sleep(0.3)
    task = engine.describe(arn)
    assert task["lastStatus"] == "PENDING"
    assert container_states(task)["main"][0] == "PENDING"
    assert engine.address(arn), "the address is told before everything runs"
    assert container_states(engine.stop(arn))["main"] == ("STOPPED", None, None)


def test_success_lets_go_only_after_exit_code_zero(engine: EngineProcess) -> None:
    good = engine.register(
        container("first", "true", essential=False), container(script="exit 4", dependsOn=_after("first", "SUCCESS"))
    )
    assert container_states(engine.wait(engine.launch(good), "STOPPED"))["main"][1] == 4
    bad = engine.register(
        container("first", "exit 1", essential=False), container(dependsOn=_after("first", "SUCCESS"))
    )
    task = engine.wait(engine.launch(bad), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "its dependency first must be SUCCESS, but it exited with code 1" in task["stoppedReason"]


def test_complete_takes_any_exit_code(engine: EngineProcess) -> None:
    definition = engine.register(
        container("first", "exit 1", essential=False), container(script="exit 4", dependsOn=_after("first", "COMPLETE"))
    )
    assert container_states(engine.wait(engine.launch(definition), "STOPPED"))["main"][1] == 4


def test_a_dependency_that_takes_longer_than_its_start_timeout_fails_the_task(engine: EngineProcess) -> None:
    definition = engine.register(
        container("first", healthCheck=_check("exit 1"), startTimeout=2),
        container(dependsOn=_after("first", "HEALTHY")),
    )
    task = engine.wait(engine.launch(definition), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "did not get there within 2 s" in task["stoppedReason"]


def test_health_is_told_for_the_container_and_the_task(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container(healthCheck=_check("true"))))
    wait_until(lambda: True if engine.describe(arn)["healthStatus"] == "HEALTHY" else None, deadline=30, what="HEALTHY")
    assert engine.describe(arn)["containers"][0]["healthStatus"] == "HEALTHY"
    engine.stop(arn)


def test_being_unhealthy_stops_nothing(tmp_path: Path) -> None:
    engine = EngineProcess("--real-health", log=tmp_path / "log")
    try:
        check = {"command": ["CMD", "/bin/false"], "interval": 5, "timeout": 2, "retries": 1}
        arn = engine.launch(engine.register(container(healthCheck=check)))
        task = engine.wait(arn, "RUNNING")
        assert task["healthStatus"] == "UNKNOWN", "with AWS's timing the first check comes after one interval"
        wait_until(
            lambda: True if engine.describe(arn)["healthStatus"] == "UNHEALTHY" else None,
            deadline=40,
            what="UNHEALTHY",
        )
        assert engine.describe(arn)["lastStatus"] == "RUNNING"
        engine.stop(arn)
    finally:
        engine.close()

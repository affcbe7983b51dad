"""Runs against an engine that has the limits of an account: green, within the quota, below every bucket of calls.

With ``--soak`` at full length, as docs/aws.md tells of: 200 tests on a new account, 1,000 on two machines.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig
from tests.components import need
from tests.local.engine_process import ROLE, EngineProcess
from tests.plugin.one_process import run_pytest, warm
from tests.warm_python import PYTEST, Popen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugin.conftest import EngineLog

TESTS = """
import pytest

@pytest.mark.parametrize("n", range({count}))
def test_it(fargate_sandbox, n):
    assert fargate_sandbox.exec("sleep {seconds}").ok
"""


def _lives(log: EngineLog) -> list[float]:
    """For how many seconds each task took up room."""
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for line in log.lines:
        if line["kind"] == "task":
            began.setdefault(line["task"], line["t"])
            ended[line["task"]] = line["t"]
    return [ended[task] - began[task] for task in began]


def _limits(log: EngineLog) -> dict[str, Any]:
    log.cut_off()
    limits: dict[str, Any] = next(line["limits"] for line in log.lines if line.get("event") == "ended")
    return limits


@pytest.mark.long
def test_a_run_with_more_workers_than_the_quota_has_room_for_is_green_and_takes_what_the_quota_dictates(
    pytester: pytest.Pytester, engine_log: EngineLog, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    tests, workers, vcpus, delay, seconds = (200, 8, 6, 10.0, 2) if soak else (3, 2, 1, 0.2, 0)
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", f"--runner namespaces --limits aws --vcpus {vcpus}")
    monkeypatch.setenv("FARGATE_ENGINE_LAUNCH_DELAY", str(delay))
    alone = _alone(pytester, engine_log, seconds) if soak else 0.0
    if not soak:
        pytester.makepyprojecttoml("[tool.pytest_fargate_sandbox]\npoll_interval_sec = 0.3\n")
    pytester.makepyfile(TESTS.format(count=tests, seconds=seconds))
    began = time.monotonic()
    result = run_pytest(pytester, f"-n{workers}", "-W", "error", timeout=1200)
    took = time.monotonic() - began
    result.assert_outcomes(passed=tests)
    assert "refused" not in result.stdout.str() + result.stderr.str()
    limits = _limits(engine_log)
    assert limits["vcpus"]["on-demand"]["most_used"] == vcpus
    assert limits["vcpus"]["on-demand"]["refused"] >= 1, "the quota was never met"
    assert all(bucket["refused"] == 0 for bucket in limits["buckets"].values())
    if soak:
        dictated = tests * alone / vcpus
        print(f"{took:.0f} s; the quota dictates {dictated:.0f} s: {took / dictated:.2f} times; {limits}")
        assert took <= 1.3 * dictated


def _alone(pytester: pytest.Pytester, log: EngineLog, seconds: float) -> float:
    """For how long a test's task takes up room where it waits for nobody."""
    path = pytester.makepyfile(test_alone=TESTS.format(count=3, seconds=seconds))
    run_pytest(pytester, "-p", "no:xdist", "--fargate-prelaunch=0").assert_outcomes(passed=3)
    path.unlink()
    log.cut_off()
    life = statistics.median(_lives(log))
    log.forget()
    return life


@pytest.fixture
def account(tmp_path: Path) -> Iterator[EngineProcess]:
    need("namespaces")
    options = ["--runner", "namespaces", "--limits", "aws", "--vcpus", "32", "--launch-delay", "0.5-1.5"]
    engine = EngineProcess(*options, log=tmp_path / "account.jsonl")
    yield engine
    engine.close()


def test_workers_on_two_machines_stay_below_every_bucket(
    pytester: pytest.Pytester, account: EngineProcess, soak: bool
) -> None:
    workers, tests = (16, 500) if soak else (1, 2)
    pytester.makepyfile(TESTS.format(count=tests, seconds=0))
    network = account.network()["awsvpcConfiguration"]
    options = {
        "cluster": "default",
        "subnets": network["subnets"][0],
        "security-groups": network["securityGroups"][0],
        "execution-role": ROLE,
        "cpu": "256",
        "memory": "512",
        "image": "host",
    }
    command = [*PYTEST, *warm(f"-n{workers}"), "-W", "error"]
    command += [f"--fargate-{name}={value}" for name, value in options.items()]
    machines = []
    for name in ("one", "other"):
        environment = {**os.environ, **account.exports, "XDG_CACHE_HOME": str(pytester.path / f"cache-{name}")}
        machines.append(Popen[str](command, cwd=pytester.path, env=environment, stdout=subprocess.PIPE, text=True))
    for machine in machines:
        output, _ = machine.communicate(timeout=2400)
        assert machine.returncode == 0, output
    account.close()
    assert account.log is not None
    lines = [json.loads(line) for line in account.log.read_text().splitlines()]
    calls = Counter(line["operation"] for line in lines if line["kind"] == "call")
    limits = next(line["limits"] for line in lines if line.get("event") == "ended")
    assert {name: bucket["refused"] for name, bucket in limits["buckets"].items() if bucket["refused"]} == {}
    sandboxes = len({line["task"] for line in lines if line["kind"] == "task"})
    assert sandboxes >= 2 * tests
    a_sandbox = sum(calls.values()) / sandboxes
    print(f"{a_sandbox:.2f} calls a sandbox, of {sandboxes}: {calls}; {limits}")
    if not soak:  # so few that each of them is asked about for as long as this machine takes to start it
        took = lines[-1]["t"] - next(line["t"] for line in lines if line["kind"] == "call")
        assert calls["DescribeTasks"] <= sandboxes + len(machines) * took / EcsFargateConfig.poll_interval_sec
        a_sandbox -= calls["DescribeTasks"] / sandboxes
    assert a_sandbox <= (4 if soak else 6)

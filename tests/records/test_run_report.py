"""A run as data, from its ledger's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.names import TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.run_report import run_report, slowest_phases
from pytest_fargate_sandbox.records.slot_records import SlotRecord

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Ledger("run")


def launch(ledger: Ledger, arn: str, *events: str, **facts: Any) -> str:
    entry = ledger.open_entry(
        cluster="bench", region="eu-west-1", labels={TAG_WORKER: "gw1", TAG_TEST: "test_it.py::test"}
    )
    ledger.write(entry, "launching")
    ledger.write(entry, "launched", task_arn=arn, image="python", cpu="1024", memory="2048")
    for event in events:
        ledger.write(entry, event, **facts)
    return entry


def test_each_launch_is_a_sandbox_with_its_story(ledger: Ledger) -> None:
    entry = launch(ledger, "arn:a", "ready", phases={"launch": 1.0, "tunnel": 0.5}, public_address=True)
    ledger.write(entry, "tested", tests=["test_it.py::test"])
    ledger.write(entry, "used", commands=[{"command": "true", "return_code": 0}])
    ledger.write(entry, "stopped", cause="spot_reclaimed")
    report = run_report(ledger.entries(), cluster="bench")
    (sandbox,) = report["sandboxes"]
    times = sandbox.pop("times")
    assert list(times) == ["launched", "ready", "stopped"]
    assert list(times.values()) == sorted(times.values())
    assert [sandbox.pop("spans") is None, sandbox.pop("cost_usd") > 0] == [False, True]
    assert sandbox == {
        "task_arn": "arn:a",
        "image": "python",
        "worker": "gw1",
        "made_for": "test_it.py::test",
        "tests": ["test_it.py::test"],
        "prelaunched": False,
        "phases": {"launch": 1.0, "tunnel": 0.5},
        "launch_sec": None,
        "commands": [{"command": "true", "return_code": 0}],
        "cause": "spot_reclaimed",
        "kept": False,
        "left": False,
        "reused": False,
        "not_left": "",
    }
    assert (report["engine"], report["cluster"], report["region"]) == (None, "bench", "eu-west-1")
    assert report["cost_usd"] == pytest.approx((0.04048 + 2 * 0.004445 + 0.005) / 60, abs=1e-6)


def test_what_became_of_them_is_counted(ledger: Ledger) -> None:
    launch(ledger, "arn:used", "shelved", "claimed", "ready", "stopped")
    launch(ledger, "arn:unused", "shelved", "stopped")
    launch(ledger, "arn:kept", "ready", "kept")
    launch(ledger, "arn:leaked", "ready")
    ledger.open_entry(cluster="bench")  # its launch failed
    record = SlotRecord(ledger, "1")
    told = {"home": "/0", "isolation": "user", "worker": "gw0", "waited_sec": 0.1}
    record.leased(machine="arn:used", slot=0, tests=["test_a"], **told)
    record.retired("arn:used", 0, "it could not be cleaned")
    ledger.write("retry-1", "retried", test="test_it.py::test", error={"type": "SandboxLost"})
    report = run_report(ledger.entries(), cluster="bench")
    assert 0 < report["unused_usd"] < report["cost_usd"]
    assert report["retired"] == [{"task_arn": "arn:used", "slot": 0, "why": "it could not be cleaned"}]
    assert report["sandboxes"][0]["tests"] == ["test_a"]
    assert report["counts"] == {
        "launched": 4,
        "reused": 0,
        "prelaunched_unused": 1,
        "retried": 1,
        "kept": 1,
        "left": 0,
        "slots_leased": 1,
        "slots_retired": 1,
        "leaked": 1,
    }


def test_a_second_attempt_of_a_start_is_alive_though_the_first_was_stopped(ledger: Ledger) -> None:
    entry = launch(ledger, "arn:first", "stopped")
    ledger.write(entry, "launching")
    ledger.write(entry, "launched", task_arn="arn:second")
    report = run_report(ledger.entries(), cluster="bench")
    assert report["counts"]["leaked"] == 1
    assert "stopped" not in report["sandboxes"][0]["times"]
    assert report["cost_usd"] == pytest.approx(2 * (0.04048 + 2 * 0.004445) / 60, abs=1e-6), "two began a minute"


def test_the_median_and_the_slowest_of_each_phase(ledger: Ledger) -> None:
    for seconds in (1.0, 2.0, 9.0):
        launch(ledger, f"arn:{seconds}", "set_up", phases={"waited": seconds, "tunnel": 1.0}, launch_sec=seconds / 2)
    report = run_report(ledger.entries(), cluster="bench")
    assert slowest_phases(report) == {
        "waited": (2.0, 9.0), "tunnel": (1.0, 1.0), "start": (3.0, 10.0), "task": (1.0, 4.5)
    }  # fmt: skip


def test_a_run_without_sandboxes_is_a_report_too() -> None:
    report = run_report([], cluster="local")
    assert report["counts"]["launched"] == 0
    assert report["sandboxes"] == []

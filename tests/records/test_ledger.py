"""The ledger outlives whoever wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig, StartError
from pytest_fargate_sandbox.records.ledger import Ledger, all_ledgers
from pytest_fargate_sandbox.records.ledger_recorder import LedgerRecorder
from pytest_fargate_sandbox.records.sweeping import sweep_ledgers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.engine_of_tests import EngineOfTests


@contextmanager
def calls_into_the_ledger() -> Iterator[list[str]]:
    """The names of what this thread calls in records/ledger.py."""
    calls: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.endswith("records/ledger.py"):
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_the_events_of_a_launch_come_to_an_entry() -> None:
    ledger = Ledger("run/1 [x]")
    entry = ledger.open_entry(cluster="c")
    assert [each.is_over for each in ledger.entries()] == [True], "nothing can be alive before the launch"
    ledger.write(entry, "launching", token="t")
    ledger.write(entry, "launched", task_arn="arn:1")
    (found,) = Ledger("run/1 [x]").entries()
    assert (found.id, found.task_arn, found.facts["cluster"]) == (entry, "arn:1", "c")
    assert not found.is_over
    assert found.owner_lives
    ledger.write(entry, "stopped")
    assert next(iter(ledger.entries())).is_over
    assert [each.run_id for each in all_ledgers()] == ["run/1 [x]"]


def test_a_second_launch_after_a_stop_is_alive_again() -> None:
    ledger = Ledger("run")
    entry = ledger.open_entry()
    for event in ("launching", "launched", "stopped", "launching"):
        ledger.write(entry, event)
    assert not ledger.entries()[0].is_over


def test_a_task_leads_to_its_entry_without_a_look_at_the_others() -> None:
    ledger = Ledger("run")
    for number in range(200):
        ledger.write(f"entry-{number}", "launched", task_arn=f"arn:{number}")
    ledger.write("entry-7", "launched", task_arn="arn:second")
    found = {arn: ledger.entry_of(arn) for arn in ("arn:8", "arn:second", "arn:7", "arn:nobody's")}
    assert {arn: entry and entry.id for arn, entry in found.items()} == {
        "arn:8": "entry-8",
        "arn:second": "entry-7",
        "arn:7": None,
        "arn:nobody's": None,
    }
    with calls_into_the_ledger() as calls:
        ledger.entry_of("arn:199")
    assert len(calls) < 10, calls


def test_half_a_line_is_no_obstacle() -> None:
    ledger = Ledger("run")
    entry = ledger.open_entry()
    with ledger.path.open("a") as file:
        file.write('{"entry": "')
    assert [each.id for each in ledger.entries()] == [entry]


FULL = """
import resource
from pytest_fargate_sandbox.records.ledger import Ledger
ledger = Ledger("run")
entry = ledger.open_entry()
resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 20, resource.RLIM_INFINITY))
try:
    ledger.write(entry, "launching")
except OSError as error:
    print(error.filename)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.write(entry, "launching")
"""


def test_what_finds_no_room_is_an_error_before_anything_is_launched() -> None:
    told = subprocess.run([sys.executable, "-c", FULL], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert told.strip() == str(Ledger("run").path)
    assert [each.events for each in Ledger("run").entries()] == [["opened", "launching"]]


def test_without_room_nothing_is_launched_and_what_is_there_ends_all_the_same(
    engine: EngineOfTests, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = EcsFargateConfig(
        cluster="local", ssh_sidecar=SshSidecarConfig(exec_server_port=19542), cpu="256", memory="512"
    )
    ledger, before = Ledger("run"), set(engine.alive())
    mine = EcsFargateSandbox(cfg, task_id="mine", run_id="run", recorder=LedgerRecorder(ledger))
    mine.start()
    ledger.path = Path("/dev/full")
    with pytest.raises(
        StartError, match=r"nothing was launched: the ledger /dev/full cannot be written: No space left"
    ):
        EcsFargateSandbox(cfg, task_id="other", run_id="run", recorder=LedgerRecorder(ledger)).start()
    mine.note("tested", tests=["a"])
    mine.stop()
    assert set(engine.alive()) <= before
    assert "stopped is not on record: [Errno 28] No space left on device: '/dev/full'" in caplog.text


def test_half_a_line_takes_no_other_with_it() -> None:
    ledger = Ledger("run")
    entry = ledger.open_entry()
    with ledger.path.open("a") as file:
        file.write('{"entry": "')
    ledger.write(entry, "launched", task_arn="arn:1")
    assert [each.task_arn for each in Ledger("run").entries()] == ["arn:1"]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\xff\xfe\x80",
        b'{"entry": "e", "event": "lau',
        b'["e", "launched", 1.0]',
        b"12",
        b'{"entry": "e", "event": "launched"}',
        b'{"event": "launched", "t": 1.0}',
        b'{"entry": "e", "event": "launched", "t": {"s": 1}}',
        b"[" * 100_000,
    ],
    ids=["binary", "half", "list", "number", "no time", "no entry", "another time", "deep"],
)
def test_a_line_that_is_no_event_is_skipped_and_told_once(rubbish: bytes, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger("run")
    entry = ledger.open_entry(cluster="c")
    with ledger.path.open("ab") as file:
        file.write((rubbish + b"\n") * 2)
    ledger.write(entry, "launched", task_arn="arn:1")
    for _ in range(2):
        (found,) = Ledger("run").entries()
        assert (found.events, found.facts["cluster"], found.task_arn) == (["opened", "launched"], "c", "arn:1")
    (told,) = caplog.messages
    assert str(ledger.path) in told


def test_an_event_of_a_newer_version_is_an_event(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger("run")
    entry = ledger.open_entry()
    ledger.write(entry, "teleported", to={"planet": [4]}, schema=2)
    (found,) = Ledger("run").entries()
    assert (found.events, found.facts["schema"]) == (["opened", "teleported"], 2)
    assert not caplog.messages


def test_many_threads_write_whole_lines() -> None:
    ledger = Ledger("run")
    threads = [threading.Thread(target=lambda: ledger.open_entry(filler="x" * 2000)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.entries()) == 20


def test_nobody_else_can_read_it(cache: Path) -> None:
    ledger = Ledger("run")
    ledger.open_entry()
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    assert ledger.path.is_relative_to(cache)


def test_a_sweep_does_not_knock_at_accounts_that_nobody_asked_for() -> None:
    """What a dead process left in an account must not slow down a run that has nothing to do with it."""
    ledger = Ledger("run")
    entry = ledger.open_entry(cluster="c", region="nowhere-1", endpoint_url="http://127.0.0.1:9", owner="me", ttl=100)
    for event, facts in (("launching", {}), ("launched", {"task_arn": "arn:1"})):
        ledger.write(entry, event, pid=1, pid_began="another boot", **facts)
    assert (
        sweep_ledgers({"cluster": "local", "region": "us-east-1", "endpoint_url": "http://127.0.0.1:1"}).stopped == []
    )
    assert not ledger.entries()[0].is_over


def test_an_old_ledger_of_which_nothing_lives_is_dropped() -> None:
    done, alive = Ledger("done"), Ledger("alive")
    for ledger in (done, alive):
        entry = ledger.open_entry(ttl=10**6)
        ledger.write(entry, "launching")
    done.write(done.entries()[0].id, "stopped", pid=1, pid_began="another boot")
    for ledger in (done, alive):
        os.utime(ledger.path, (time.time() - 7200,) * 2)
    sweep_ledgers()
    assert [each.run_id for each in all_ledgers()] == ["alive"]

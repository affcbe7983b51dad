"""A look at the ledgers costs by what is new and what lives, whatever has ended; and it misses nothing that grew."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.records.ended_ledgers import compact
from pytest_fargate_sandbox.records.ledger import Ledger, all_ledgers, ledger_directory
from pytest_fargate_sandbox.records.sweeping import sweep_ledgers
from tests.warm_python import Popen, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

DEAD = {"pid": 1, "pid_began": "another boot/1"}
NOWHERE = {"cluster": "local", "engine_directory": "/nonexistent", "owner": "me", "ttl": 3600}
"""A place where a sweep has nobody to ask, so that it writes ``stopped`` at once."""

SWEEP = """
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == "open" else None)
from pytest_fargate_sandbox.records.sweeping import sweep_ledgers
sweep_ledgers()
print(sum(path.endswith(".jsonl") for path in opened))
"""
START = """
import sys, threading
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
sandbox = EcsFargateSandbox(cfg, task_id="one", run_id="demo")
calls = []
def note(frame, event, _):
    if event == "call" and frame.f_code.co_filename.endswith("records/ledger.py"):
        calls.append(frame.f_code.co_name)
threading.setprofile(note)
sys.setprofile(note)
sandbox.start()
sys.setprofile(None)
threading.setprofile(None)
print(len(calls))
sandbox.stop()
"""
HOLD = """
import sys
from pytest_fargate_sandbox.records.ledger import Ledger
ledger = Ledger("run")
entry = ledger.open_entry(cluster="local", engine_directory="/nonexistent", owner="me", ttl=3600)
for event in sys.argv[1:]:
    ledger.write(entry, event)
print("ready", flush=True)
sys.stdin.read()
"""


WRITE = """
import sys
from pytest_fargate_sandbox.records.ledger import Ledger
ledger = Ledger("run")
for number in range(200):
    for event in ("launching", "launched"):
        ledger.write(f"{sys.argv[1]}-{number}", event)
"""


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def python(script: str, *arguments: str) -> str:
    done = run("-c", script, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def an_entry(run_id: str, *events: str) -> str:
    """An entry by a process that is dead."""
    ledger = Ledger(run_id)
    entry = ledger.open_entry(**NOWHERE)
    ledger.write(entry, "owned", **DEAD)
    for event in events:
        ledger.write(entry, event)
    return entry


def an_ended_run(run_id: str, *, entries: int = 4) -> None:
    for _ in range(entries):
        an_entry(run_id, "launching", "launched", "ready", "stopped")


def left(run_id: str = "run") -> list[str]:
    """The entries of which something may be alive."""
    return [entry.id for entry in Ledger(run_id).entries() if not entry.is_over]


def make_old(run_id: str, seconds: float = 7200) -> None:
    os.utime(Ledger(run_id).path, (time.time() - seconds,) * 2)


# --- what it costs --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cache")
def test_a_ledger_that_is_over_is_opened_by_one_sweep_and_by_no_other() -> None:
    for number in range(50):
        an_ended_run(f"run-{number}")
    assert [int(python(SWEEP)) for _ in range(3)] == [50, 0, 0]
    an_ended_run("another")
    an_ended_run("run-7")
    assert [int(python(SWEEP)) for _ in range(2)] == [3, 0], "run-7 is opened twice: to know it again, and to read on"
    assert [len(ledger.entries()) for ledger in all_ledgers()].count(4) == 50, "whoever wants them has them"


def test_the_first_start_of_a_process_does_not_look_at_history(engine: EngineOfTests) -> None:
    """Neither at that of other runs, nor at that of its own, where a script always gives the same id."""
    engine.alive()
    sweep_ledgers()
    before = set(ledger_directory().iterdir())
    try:
        small = int(python(START))
        for number in range(50):
            an_ended_run(f"ended-{number}")
        an_ended_run("demo", entries=100)
        sweep_ledgers()
        large = int(python(START))
        assert large < small + 45, (small, large)
    finally:
        for path in set(ledger_directory().iterdir()) - before:
            path.unlink()


# --- what it never misses -------------------------------------------------------------------------------------------


def begin_another(_: str) -> None:
    an_entry("run", "launching")


def go_on(entry: str) -> None:
    Ledger("run").write(entry, "launching")


def go_on_behind_half_a_line(entry: str) -> None:
    with Ledger("run").path.open("a") as file:
        file.write('{"entry": "')
    sweep_ledgers()
    Ledger("run").write(entry, "launching")


def begin_anew(_: str) -> None:
    path = Ledger("run").path
    size = path.stat().st_size
    path.unlink()
    an_entry("run", "launching")
    while path.stat().st_size <= size:
        an_ended_run("run", entries=1)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("grow", [begin_another, go_on, go_on_behind_half_a_line, begin_anew])
@pytest.mark.parametrize("clock_stands", [False, True])
def test_a_ledger_that_was_over_and_grows_is_read_again(grow: Callable[[str], None], clock_stands: bool) -> None:
    entry = an_entry("run", "launching", "stopped")
    assert sweep_ledgers().stopped == []
    path = Ledger("run").path
    stat = path.stat()
    grow(entry)
    if clock_stands:  # as in file systems that count time in seconds
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(left()) == 1
    sweep_ledgers()
    assert left() == []


@pytest.mark.usefixtures("cache")
def test_a_process_that_dies_after_a_look_is_swept() -> None:
    an_ended_run("run")
    process = Popen[bytes](["-c", HOLD, "launching"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for _ in range(2):
        sweep_ledgers()
        assert len(left()) == 1, "its process lives"
    process.kill()
    process.communicate()
    sweep_ledgers()
    assert left() == []


@pytest.mark.usefixtures("cache")
def test_sweeps_and_deaths_all_at_once() -> None:
    """Processes write to one ledger and are killed while others sweep: in the end nothing is left."""
    an_ended_run("run")
    sweepers = [
        Popen[bytes](["-c", SWEEP.replace("sweep_ledgers()\n", "while True: sweep_ledgers()\n")]) for _ in range(2)
    ]
    try:
        for _ in range(4):
            crowd = [
                Popen[bytes](["-c", HOLD, *events], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                for events in (["launching"], ["launching", "stopped"], ["launching", "stopped", "launching"])
            ]
            for process in crowd:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                process.kill()
                process.communicate()
    finally:
        assert [process.poll() for process in sweepers] == [None, None]
        for process in sweepers:
            process.kill()
            process.wait()
    sweep_ledgers()
    assert left() == []
    assert len(Ledger("run").entries()) == 4 + 4 * 3


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("notes", ["", "\0", "[]", '{"run.jsonl": 1}', '{"run.jsonl": [0, 0, "", true, "new"]}'])
def test_notes_that_are_damaged_or_of_another_version_are_none(notes: str) -> None:
    an_ended_run("run")
    sweep_ledgers()
    (ledger_directory() / "ended.json").write_text(notes)
    an_entry("run", "launching")
    sweep_ledgers()
    assert left() == []
    an_entry("run", "stopped")
    assert [int(python(SWEEP)) for _ in range(2)] != [0, 0]
    assert json.loads((ledger_directory() / "ended.json").read_text())["run.jsonl"][0] > 0


@pytest.mark.usefixtures("cache")
def test_a_ledger_that_cannot_be_read_keeps_nobody_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    unreadable = Ledger("a").path
    unreadable.mkdir()
    an_entry("run", "launching")
    assert sweep_ledgers().stopped == []
    assert left() == []
    (told,) = caplog.messages
    assert str(unreadable) in told


@pytest.mark.usefixtures("cache")
def test_a_run_whose_name_had_to_be_cut_is_swept_too() -> None:
    an_entry("ü" * 100, "launching")
    sweep_ledgers()
    assert left("ü" * 100) == []


# --- one ledger for ever --------------------------------------------------------------------------------------------


def long_ago(run_id: str, *, entries: int, hours: float = 2.0) -> None:
    """Runs of the same id that were over hours ago, each by a process of its own."""
    when = time.time() - hours * 3600
    lines = [
        json.dumps({"entry": f"{hours}-{number}", "event": event, "t": when, "pid": 1, "pid_began": f"boot/{number}"})
        for number in range(entries)
        for event in ("opened", "launching", "launched", "ready", "stopped")
    ]
    with Ledger(run_id).path.open("a") as file:
        file.write("\n".join(lines) + "\n")


@pytest.mark.usefixtures("cache")
def test_a_ledger_that_is_used_over_and_over_does_not_grow_for_ever() -> None:
    for day in range(3):
        long_ago("run", entries=1000, hours=72 - day)
        recent, kept = an_entry("run", "launching", "stopped"), an_entry("run", "launching", "kept")
        reader = Ledger("run")
        assert reader.entries()
        assert sweep_ledgers().stopped == []
        assert Ledger("run").path.stat().st_size < 10_000
        assert {recent, kept} <= {entry.id for entry in reader.entries()}, "who has read it before reads it anew"
        assert kept in left()
    assert len(Ledger("run").entries()) == 6


@pytest.mark.usefixtures("cache")
def test_what_a_living_process_has_ended_stays_in_its_ledger() -> None:
    process = Popen[bytes](["-c", HOLD, "launching", "stopped"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    (its,) = Ledger("run").entries()
    long_ago("run", entries=5)
    compact(Ledger("run").path, older_than=-1)
    assert [entry.id for entry in Ledger("run").entries()] == [its.id]
    process.communicate()
    compact(Ledger("run").path, older_than=-1)
    assert Ledger("run").entries() == []


@pytest.mark.usefixtures("cache")
def test_no_line_is_lost_while_others_compact() -> None:
    writers = [Popen[bytes](["-c", WRITE, f"w{number}"], stdout=subprocess.DEVNULL) for number in range(3)]
    path, times = Ledger("run").path, 0
    while any(writer.poll() is None for writer in writers):
        long_ago("run", entries=700)
        size = path.stat().st_size
        compact(path, older_than=3600)
        times += path.stat().st_size < size
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert times
    expected = {f"w{writer}-{number}": ["launching", "launched"] for writer in range(3) for number in range(200)}
    assert {entry.id: entry.events for entry in Ledger("run").entries() if entry.id in expected} == expected


# --- what becomes of the files --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cache")
def test_what_is_over_and_old_is_dropped_unread() -> None:
    an_ended_run("run")
    sweep_ledgers()
    Ledger("run").path.write_bytes(b"x" * Ledger("run").path.stat().st_size)
    make_old("run")
    notes = ledger_directory() / "ended.json"
    known = json.loads(notes.read_text())
    known["run.jsonl"][1] = Ledger("run").path.stat().st_mtime_ns
    notes.write_text(json.dumps(known))
    assert python(SWEEP) == "1\n", "to have it alone"
    assert list(all_ledgers()) == []
    assert json.loads(notes.read_text()) == {}


@pytest.mark.usefixtures("cache")
def test_a_run_that_is_silent_for_hours_has_its_ledger_until_its_process_ends() -> None:
    process = Popen[bytes](["-c", HOLD, "launching", "stopped"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for _ in range(3):
        sweep_ledgers()
        make_old("run")
        assert Ledger("run").path.exists()
    process.communicate()
    sweep_ledgers()
    assert not Ledger("run").path.exists()

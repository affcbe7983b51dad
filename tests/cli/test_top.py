"""``fargate-sandbox top``: another process's run, live, on a terminal of any size, and in a pipe."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox, ecs_fargate
from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.cli.run_view import RunView
from pytest_fargate_sandbox.leaves.names import TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.leaves.printable import columns_of
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.run.live_words import Moment, worker_lines
from pytest_fargate_sandbox.sandbox.side_door import SideDoor
from tests.tmux_screen import TmuxScreen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateConfig
    from tests.engine_of_tests import EngineOfTests

HOSTILE = "a.py::test_b[\x1b[2J\x1b]2;mine\x07\u202e測試\r\n\x9b31m]"
TOP = [sys.executable, "-m", "pytest_fargate_sandbox.cli.main", "top"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a door in it, though this process may hold sandboxes that were made while it had another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("c")))
    monkeypatch.setattr(ecs_fargate, "DOOR", SideDoor())


def test_a_person_sees_a_run_enters_its_machine_and_stops_it(
    engine: EngineOfTests,  # noqa: ARG001  it must be there first, and go last
    local_config: Callable[..., EcsFargateConfig],
    tmp_path: Path,
) -> None:
    labels = {TAG_WORKER: "gw0", TAG_TEST: "a.py::test_b"}
    with EcsFargateSandbox(local_config(), task_id="one", run_id="run-1", labels=labels) as sandbox:
        sandbox.start()
        task = str(sandbox.task_arn).rpartition("/")[2][:8]
        Ledger("run-1").own("setup-1", "waiting", test=HOSTILE, worker="gw1\x1b[H")
        with TmuxScreen(tmp_path, [*TOP, "-d", "0.2", "run"], 80, 10, cwd=tmp_path) as screen:
            shown = screen.wait_for(lambda text: "runs" in text and "q quit" in text, "the run")
            head, told, names, hostile, row, *_, last = shown.split("\n")
            assert head.startswith("run run-1  0m")
            assert "1 machine  $0.0" in head
            assert told.startswith("sandboxes: 1 running; 1 test waits (")
            assert hostile.startswith("         waits")
            assert hostile.endswith(r" gw1\x…          a.py::test_b[\x1b[2J\x1b]2;mine\x0…")
            assert names == "TASK     STATE      FOR     WORKER COST     TEST"
            assert (row[:15], row[28:31], row.split()[-1]) == (f"{task} runs  ", "gw0", "a.py::test_b")
            assert last == "up/down choose, s shell, x stop, q quit"
            screen.type("Down", "s")
            screen.wait_for(lambda text: "run-1" not in text and text.strip(), "the shell")
            screen.type("echo in $((6*7))", "Enter")
            screen.wait_for(lambda text: "in 42" in text, "what it says")
            screen.type("exit", "Enter")
            assert screen.wait_for(lambda text: "q quit" in text, "the run again").startswith(head[:12])
            screen.resize(20, 6)
            screen.wait_for(lambda text: text.split("\n")[2:3] == ["STATE      FOR"] and "runs" in text, "the same")
            screen.resize(80, 10)
            screen.type("j", "x")
            screen.wait_for(lambda text: f"stop {task}? y/n" in text, "the question")
            screen.type("n", "x", "y")
            shown = screen.wait_for(lambda text: " stopped" in text and "over" in text, "its end")
            screen.type("q")
            assert screen.wait_for(lambda text: "code" in text, "the end of all").split("\n")[-1].endswith("code 0")
        assert not sandbox.describe_task() or sandbox.describe_task()["desiredStatus"] == "STOPPED"  # type: ignore[index]


def test_ctrl_c_leaves_the_terminal_as_it_was_and_ctrl_z_does_not_leave_it(tmp_path: Path) -> None:
    _a_run("run-1", ("a", "opened", {}))
    with TmuxScreen(tmp_path, [*TOP, "-d", "0.2"], 60, 8, cwd=tmp_path) as screen:
        screen.wait_for(lambda text: "q quit" in text, "the run")
        screen.type("C-z", "x")
        screen.wait_for(lambda text: "no task here that lives" in text, "that it goes on")
        screen.type("C-c")
        assert screen.wait_for(lambda text: "code" in text, "the end").strip() == "code 130"
        assert screen.is_as_it_was


def test_on_a_terminal_that_only_prints_it_is_printed_once(tmp_path: Path) -> None:
    _a_run("run-1", ("a", "opened", {}))
    with TmuxScreen(tmp_path, ["env", "TERM=dumb", *TOP], 60, 8, cwd=tmp_path) as screen:
        shown = screen.wait_for(lambda text: "code" in text, "the end")
    assert shown.startswith("run run-1")
    assert shown.endswith("code 0")


def _a_run(name: str, *events: tuple[str, str, dict[str, object]]) -> Ledger:
    ledger = Ledger(name)
    for entry, event, facts in events:
        ledger.own(entry, event, **facts)
    return ledger


def _hostile_run() -> Ledger:
    labels = {TAG_WORKER: "gw0\x1b[H", TAG_TEST: HOSTILE}
    task = {"task_arn": "arn:aws:ecs:eu-west-1:1:task/c/\x1b[2Jabc", "labels": labels, "image": "\x1b[5m" + "圖" * 90}
    return _a_run(
        "hostile",
        ("setup-1", "waiting", {"test": HOSTILE, "worker": "gw1"}),
        ("image-1", "building", {"directory": f"/tmp/{HOSTILE}"}),
        *(
            (f"{number}", event, {**task, "name": "tun\nnel", "phases": {"launch": 1.0}})
            for number in range(30)
            for event in ("opened", "launching", "launched", "phase", "ready")
        ),
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 24, 100])
def test_it_fits_and_nothing_hostile_gets_to_the_terminal(rows: int) -> None:
    run = _hostile_run()
    for columns in (1, 5, 12, 19, 20, 27, 40, 61, 80, 200):
        view = RunView(run)
        view.look(4e9)
        for steps in (0, 1, 7, 100, -3):
            view.choose(steps)
            lines = view.lines(columns, rows)
            assert len(lines) == rows
            assert max(map(columns_of, lines)) <= columns
            assert all(line.isprintable() for line in lines)
            if rows > 5 and columns >= 12:
                assert 3 <= view.chosen_line < rows
                assert lines[view.chosen_line]


def test_each_slot_that_is_in_use_has_a_row_with_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    task = {"task_arn": "x/abcdef", "labels": {TAG_WORKER: "gw0", TAG_TEST: "a.py::test_a"}}
    leases = [(name, {"machine": "x/abcdef", "worker": name, "slot": at}) for at, name in enumerate(("gw1", "gw2"))]
    _a_run(
        "slots",
        *(("m", event, task) for event in ("opened", "launching", "launched", "ready", "shared")),
        *((f"slot-{name}", "slot_leased", {**facts, "tests": [f"a.py::test_{name}"]}) for name, facts in leases),
        ("slot-gw3", "slot_leased", {"machine": "x/abcdef", "worker": "gw3", "slot": 2, "tests": []}),
        ("slot-gw3", "slot_ended", {}),
    )
    assert main(["top"]) == 0
    machine, *slots = (line.split() for line in capsys.readouterr().out.splitlines()[3:])
    assert [machine[0], *machine[-4:]] == ["abcdef", "2", "slots", "in", "use"]
    assert [each[:3] + each[-2:] for each in slots] == [
        ["abcdef", "slot", "0", "gw1", "a.py::test_gw1"],
        ["abcdef", "slot", "1", "gw2", "a.py::test_gw2"],
    ]
    entries = Ledger("slots").entries()
    assert [line.split(" (")[0] for line in worker_lines(Moment(entries, time.time()), 80, 9)] == [
        "gw1: a.py::test_gw1: runs",
        "gw2: a.py::test_gw2: runs",
    ]


def test_without_a_terminal_it_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    _a_run("run-1", ("a", "opened", {}), ("a", "launched", {"task_arn": "x/abc", "image": "i"}))
    assert main(["top"]) == 0
    head, *_, row = capsys.readouterr().out.rstrip("\n").split("\n")
    assert head.startswith("run run-1  0m00s  1 machine  $0.0000")
    assert row.split() == ["abc", "starts", "0m00s", "$0.0000"]


def test_a_run_that_is_not_there_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 1
    assert "no run that has begun a sandbox goes on" in capsys.readouterr().err
    _a_run("run-1", ("a", "opened", {}))
    _a_run("run-2", ("a", "opened", {}))
    assert main(["top", "nobody's"]) == 1
    assert re.search('begins with "nobody\'s"; there are: (run-[12]), (?!\\1)run-[12]. Of', capsys.readouterr().err)
    assert main(["top", "run"]) == 1
    assert re.search("'run' begins several runs: (run-[12]), (?!\\1)run-[12]\n$", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        main(["top", "-d", "nan"])


def test_a_script_that_has_ended_and_left_nothing_is_none_of_those_that_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, stopped in ((1, ["stopped"]), (2, [])):
        ledger = _a_run(f"library-{number}", ("a", "launched", {"task_arn": "x/abc"}))
        for event in stopped:
            ledger.write("a", event)
        ledger.write("a", "noted", pid=2**22 + 1)  # its process has ended
    assert main(["top", "run"]) == 1
    assert "begins with 'run'; there are: library-2. Of one" in capsys.readouterr().err
    Ledger("library-2").write("a", "stopped")
    assert main(["top", "run"]) == 1
    assert "begins with 'run'; there is none. Of one" in capsys.readouterr().err
    assert main(["top", "library-1"]) == 0


def test_records_of_another_version_are_shown_as_far_as_they_are_understood(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ledger = _a_run("older", ("a", "opened", {"labels": None, "tests": 3, "phases": [1], "cpu": "many"}))
    events = [{"event": "launched", "task_arn": "x/abc"}, {"event": "melted"}, {"event": "set_up", "memory": {}}]
    with ledger.path.open("a") as file:
        file.writelines(json.dumps({"entry": "a", "t": 1.0, **each}) + "\n" for each in events)
        file.write('{"entry": "b", "event": "waiting", "t": 5}\n[]\nno JSON\n')
    assert main(["top", "older"]) == 0
    shown = capsys.readouterr().out
    assert "abc      runs" in shown
    view = RunView(Ledger("older"))
    view.look(10.0)
    assert len(view.lines(80, 24)) == 24

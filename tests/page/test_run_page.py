"""The page as a file, from records alone; how it looks and works is tried in a browser, next door."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import tracemalloc
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import SETUP_PHASES
from pytest_fargate_sandbox.leaves.process_identity import this_process
from pytest_fargate_sandbox.page.earlier_run import compared, told
from pytest_fargate_sandbox.page.finished_run import find_run
from pytest_fargate_sandbox.page.run_page import check_writable, write_page
from pytest_fargate_sandbox.records import run_records
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.machine_spans import IDLE, SHELF, STOP
from pytest_fargate_sandbox.records.run_records import KEPT_RUNS, RunRecords, all_runs, forget_old_runs
from tests.page.made_runs import HOSTILE, made_run
from tests.page.written_page import data_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_page_of_five_hundred_tests_is_smaller_than_a_megabyte(tmp_path: Path) -> None:
    made_run("made", 500)
    write_page(tmp_path / "page.html", find_run("made"))
    assert (tmp_path / "page.html").stat().st_size < 1_000_000
    data = data_of(tmp_path / "page.html")
    assert [len(data["tests"]), data["state"], data["evaluable"]] == [500, "finished", [500, 500]]
    assert data["counts"]["launched"] == 501
    assert data["counts"]["prelaunched_unused"] == 1
    assert data["grid"]["cells"][0][2:5] == [0, 50, 50]  # every tenth test fails, and each of them is one of those


def test_two_tasks_of_one_name_are_two_rows(tmp_path: Path) -> None:
    records = RunRecords("some")
    records.write("run", began=1.0)
    for folder, verdict in (("tasks/a", "pass"), ("other/a", "fail")):
        test = f"{folder}/task.toml::oracle"
        records.write("attempt", test=test, task="a", folder=folder, agent="oracle", verdict=verdict)
    write_page(tmp_path / "page.html", find_run("some"))
    grid = data_of(tmp_path / "page.html")["grid"]
    assert grid["tasks"] == ["a (tasks/a)", "a (other/a)"]
    assert [cell[:5] for cell in grid["cells"]] == [[0, 0, 1, 1, 1], [1, 0, 0, 1, 1]]


def test_the_timeline_knows_all_phases_of_a_machine() -> None:
    script = files("pytest_fargate_sandbox.page").joinpath("assets", "timeline.js").read_text()
    known = re.findall(r"(\w+): [{\"]", script.partition("const PHASES")[2].partition("const ROW")[0])
    assert {*SETUP_PHASES, SHELF, IDLE, STOP} - {"waited"} <= set(known)


def test_a_page_takes_the_place_of_what_a_link_leads_to_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    RunRecords("empty").write("run", began=1.0)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old.html").write_text("old")
    (tmp_path / "link.html").symlink_to("there/old.html")
    check_writable(tmp_path / "link.html")
    assert (tmp_path / "there" / "old.html").read_text() == "old"
    write_page(tmp_path / "link.html", find_run("empty"))
    assert (tmp_path / "link.html").is_symlink()
    assert data_of(tmp_path / "there" / "old.html")["run"] == "empty"
    assert [each.name for each in (tmp_path / "there").iterdir()] == ["old.html"]


def test_stories_take_no_memory_however_many_there_are(tmp_path: Path) -> None:
    """Of twice as many failures a page takes no more, beyond what each test has."""

    def peak(name: str, failing: int) -> int:
        made_run(name, 100, failing=failing)
        run = find_run(name)
        tracemalloc.start()
        try:
            write_page(tmp_path / "page.html", run)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak("first", 1)  # loads what is loaded once
    few, many = peak("few", 50), peak("many", 1)
    assert (tmp_path / "page.html").stat().st_size > 120_000
    assert many < few * 1.3


def test_nothing_that_a_sandbox_says_becomes_a_part_of_the_page(tmp_path: Path) -> None:
    made_run("made", 30, hostile=HOSTILE)
    write_page(tmp_path / "page.html", find_run("made"))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [text.count("<img"), text.count("taken</"), text.count("\x1b"), text.count("\u2028")] == [0, 0, 0, 0]
    assert text.count("<script") == text.count("</script>")
    assert "\u202e" not in text


def test_what_was_written_down_is_enough_when_all_its_processes_were_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = made_run("20260101-killed", 20, ended=False)
    with (records.directory / "tests.jsonl").open("a") as file:
        file.write('{"event": "test", "test": "cut of')  # killed within a line, or a disk was full
    monkeypatch.chdir(tmp_path)
    assert main(["report", "2026"]) == 0
    assert capsys.readouterr().out == "20260101-killed.html\n"
    data = data_of(tmp_path / "20260101-killed.html")
    assert data["state"] == "killed"
    assert data["tests"][-1][:2] == ["test_cut", "unfinished"]
    assert len(data["machines"]) == 21
    assert data["took"] >= max(span[1] for machine in data["machines"] for span in machine[5])


def test_a_ledger_that_is_dropped_stays_with_the_records() -> None:
    records, ledger = RunRecords("some"), Ledger("some")
    records.write("run", version=1, began=1.0)
    ledger.write(ledger.open_entry(cpu="256", memory="512"), "launched", task_arn="arn:1")
    ledger.drop()
    assert find_run("some").report["counts"]["launched"] == 1
    assert oct(records.ledger.stat().st_mode & 0o777) == "0o600"
    Ledger("without records").write("entry", "launched", task_arn="arn:2")
    Ledger("without records").drop()
    assert all_runs() == ["some"]


def test_the_latest_runs_are_kept_and_whatever_may_go_on() -> None:
    for number in range(KEPT_RUNS + 2):
        RunRecords(f"run-{number:02}").write("run")
        os.utime(RunRecords(f"run-{number:02}").directory / "tests.jsonl", (number, number))
    forget_old_runs()
    assert all_runs() == [f"run-{number:02}" for number in range(2, KEPT_RUNS + 2)]
    RunRecords("new").write("run")
    RunRecords("run-02").write("began", test="a long one")
    forget_old_runs()
    assert len(all_runs()) == KEPT_RUNS
    assert {"new", "run-02"} <= set(all_runs())


def test_how_tests_came_out_is_written_down_though_stories_have_filled_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_records, "MOST_BYTES", 1000)
    records = RunRecords("some")
    assert records.write("story", text="x" * 800)
    assert not records.write("story", text="x" * 800)
    assert records.write("test", test="test_it", outcome="passed", why="x" * 300)
    assert records.write("ended", exitstatus=0)


def test_what_another_run_forgets_meanwhile_is_no_trouble() -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            RunRecords("brief").write("run")
            shutil.rmtree(RunRecords("brief").directory)

    RunRecords("lasting").write("run")
    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(300):
            assert "lasting" in all_runs()
    finally:
        stop.set()
        other.join()


def test_outcomes_of_an_earlier_report_say_nothing_to_a_terminal(tmp_path: Path) -> None:
    made_run("made", 5)
    report = {"version": 1, **find_run("made").report}
    report["tests"] = [{**test, "outcome": "\x1b]0;taken\x07"} for test in report["tests"]]
    (tmp_path / "report.json").write_text(json.dumps(report))
    [head, *lines] = told(compared(find_run("made"), find_run(str(tmp_path / "report.json"))))
    assert "5 with another outcome" in head
    assert not any("\x1b" in line or "\x07" in line for line in lines)


def test_a_page_that_only_its_owner_may_read_stays_so(tmp_path: Path) -> None:
    made_run("made", 2)
    page = tmp_path / "page.html"
    page.touch(mode=0o600)
    write_page(page, find_run("made"))
    assert oct(page.stat().st_mode & 0o777) == "0o600"


def test_it_is_known_whether_a_run_was_interrupted_or_goes_on() -> None:
    records = RunRecords("some")
    records.write("run", began=1.0, **this_process())
    assert find_run("some").report["state"] == "running"
    records.write("ended", exitstatus=2)
    assert find_run("some").report["state"] == "interrupted"
    records.write("run", version=2)
    with pytest.raises(ConfigError, match="the records of some are of version 2: look at it with what wrote it"):
        find_run("some")


def test_a_run_without_any_sandbox_is_a_page_too(tmp_path: Path) -> None:
    RunRecords("empty").write("run", began=1.0)
    RunRecords("empty").write("test", test="test_plain", outcome="passed", began=2.0, ended=3.0)
    write_page(tmp_path / "page.html", find_run("empty"))
    assert data_of(tmp_path / "page.html")["machines"] == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "is no file of --fargate-report-json"),
        ('{"version": 1, "tests": [1], "sandboxes": []}', "is no file of --fargate-report-json"),
        ("\udcff", "is no file of --fargate-report-json"),
        ("[" * 100_000, "is no file of --fargate-report-json"),
        ('{"version": 2, "tests": [], "sandboxes": []}', "is of version 2, and 1 is the latest known here: look at it"),
    ],
)
def test_a_file_that_is_no_report_is_told_of(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "some.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ConfigError, match=told):
        find_run("some.json", tmp_path)


def test_a_run_that_nobody_knows_is_told_of_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "nothing"]) == 1
    assert "there is no run nothing, and no such file; nothing is kept of any here" in capsys.readouterr().err
    made_run("2026-1", 1)
    made_run("2026-2", 1)
    assert main(["report", "2026-3"]) == 1
    assert "no such file; the latest are 2026-2, 2026-1" in capsys.readouterr().err
    assert main(["report", "2026"]) == 1
    assert "2026 is the beginning of several runs: 2026-1, 2026-2" in capsys.readouterr().err
    assert main(["report", "last", "--output", "/proc/page.html"]) == 1
    assert "/proc/page.html: " in capsys.readouterr().err


def test_it_is_told_what_is_otherwise_than_in_an_earlier_report_of_the_first_form(tmp_path: Path) -> None:
    """Which knew less of its machines and tests than one of today."""
    made_run("made", 20)
    run = find_run("made")
    tests = [{"test": each["test"], "outcome": "passed", "began": 1.0, "ended": 1.01} for each in run.report["tests"]]
    machines = [
        {key: value for key, value in each.items() if key not in ("spans", "cost_usd")}
        for each in run.report["sandboxes"]
    ]
    old = {**run.report, "version": 1, "tests": tests, "sandboxes": machines}
    old = {key: value for key, value in old.items() if key not in ("waits", "refusals", "attempts", "max_tasks")}
    (tmp_path / "old.json").write_text(json.dumps(old))
    earlier = find_run("old.json", tmp_path)
    first, *changed = told(compared(run, earlier))
    assert first == "against old.json: 2 with another outcome, 1 flakier, 20 slower"
    assert changed == [
        f"  {each['test']}: passed → failed" for each in run.report["tests"] if each["outcome"] == "failed"
    ]
    hostile = {"name": "a\nb", "outcomes": [["one\ntwo\x1b[2J", "passed", "failed"]]}
    assert [*told({**hostile, **dict.fromkeys(("flakier", "slower", "dearer"), ())})] == [
        "against a\\nb: 1 with another outcome",
        "  one\\ntwo\\x1b[2J: passed → failed",
    ]
    write_page(tmp_path / "page.html", earlier, compared(earlier, run))
    assert data_of(tmp_path / "page.html")["compared"]["outcomes"][0][1:] == ["failed", "passed"]

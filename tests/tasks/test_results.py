"""Results as lines, as a table and as a quarantine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import ConfigError
from pytest_fargate_sandbox.tasks.attempt_record import ResultsFile, records_in
from pytest_fargate_sandbox.tasks.quarantine import add_to_quarantine, flaky_in, read_quarantine
from pytest_fargate_sandbox.tasks.results_table import table_of

if TYPE_CHECKING:
    from pathlib import Path


def record(task: str, agent: str, verdict: str, number: int = 1, **more: Any) -> dict[str, Any]:
    test = f"tasks/{task}/task.toml::{agent}[{number}]"
    return {"test": test, "task": task, "agent": agent, "try": number, "verdict": verdict, **more}


def test_lines_are_there_as_soon_as_they_are_known_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new/results.jsonl"
    file = ResultsFile(path)
    file.add(record("a", "oracle", "pass"))
    assert json.loads(path.read_text())["version"] == 1
    file.add(record("a", "oracle", "fail", notes=["what an agent said,\u2028on two lines\x85or three"]))
    file.close()
    with path.open("a") as more:
        more.write('{"version": 1, "test": "cut sho')
    assert [each["verdict"] for each in records_in(path).values()] == ["fail"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nonsense\n{}\n", ":1: is no line of results"),
        ('{"version": 2}\n', ":1: is of version 2, and this release reads 1"),
        ('{"version": 1, "test": "x", "verdict": "maybe"}\n{"version": 1}', ":1: is no line of results"),
        ("[]\n[]", ":1: is no line of results"),
    ],
)
def test_what_is_no_file_of_results_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(ConfigError) as met:
        records_in(tmp_path / "results.jsonl")
    assert sentence in str(met.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        records_in(tmp_path / "nowhere")


def test_the_table_has_what_wants_attention_and_hides_no_trouble() -> None:
    records = [
        *(record("sound", agent, verdict) for agent, verdict in (("oracle", "pass"), ("nop", "fail"))),
        *(record("flaky", "oracle", verdict, number) for number, verdict in enumerate(("pass", "fail", "pass"))),
        record("mute", "oracle", "none", trouble={"kind": "NoVerdict"}),
        record("lost", "nop", "error", trouble={"kind": "SandboxLost"}),
        record("beside", "forges", "pass", shared=True),
        record("gpu", "oracle", "skipped"),
        record("sound", "claude\x1b[31m", "pass"),
    ]
    assert list(table_of(records)) == [
        "task    agent   passed                           pass@1 (95 %)      pass^k",
        "flaky   oracle  2 of 3                           0.67 [0.21, 0.94]  0.00 (k=3)",
        "mute    oracle  0 of 0 (1 more without verdict)  -                  -",
        "lost    nop     0 of 0 (1 more without verdict)  -                  -",
        "beside  forges  1 of 1                           1.00 [0.21, 1.00]  1.00 (k=1)",
        "sound   claude  1 of 1                           1.00 [0.21, 1.00]  1.00 (k=1)",
        "agent   tasks  passed  pass@1 (95 %)      pass^k",
        "oracle  3      3 of 4  0.83 [0.51, 1.00]  0.83 (k=1)",
        "nop     2      0 of 1  0.00 [0.00, 0.79]  0.00 (k=1)",
        "forges  1      1 of 1  1.00 [0.21, 1.00]  1.00 (k=1)",
        "claude  1      1 of 1  1.00 [0.21, 1.00]  1.00 (k=1)",
        "evaluable: 7 of 10 attempts (1 NoVerdict, 1 SandboxLost, 1 skipped)",
        "verified beside the agent (environment_mode = 'shared'), so not to be relied on: 1 tasks",
    ]


def test_no_name_makes_a_line_of_its_own() -> None:
    forged = "x\nevaluable: 9 of 9 attempts"
    lines = list(table_of([record(forged, forged, "pass", was="fail"), record("b", "oracle", "fail")]))
    assert [line for line in lines if line.startswith("evaluable")] == ["evaluable: 2 of 2 attempts"]
    assert not any("\n" in line for line in lines)


def test_two_tasks_of_one_name_are_told_apart() -> None:
    other = [{**record("a", "oracle", "fail", number), "folder": "other/a"} for number in range(2)]
    lines = list(table_of([{**record("a", "oracle", "pass"), "folder": "tasks/a"}, *other, record("b", "nop", "fail")]))
    assert lines[1].startswith("a (other/a)  oracle  0 of 2 ")
    assert lines[3].split()[:5] == ["oracle", "2", "1", "of", "3"]
    assert lines[-1] == "two tasks are called a: other/a, tasks/a"


def test_a_task_that_several_files_of_tests_try_is_one() -> None:
    driven = {**record("a", "test_agent", "pass"), "test": "test_agents.py::test_agent", "folder": "tasks/a"}
    lines = list(table_of([record("a", "oracle", "pass"), driven]))  # the first is from before folders were told
    assert lines[1].split() == ["a", "test_agent", "1", "of", "1", "1.00", "[0.21,", "1.00]", "1.00", "(k=1)"]
    assert not [line for line in lines if line.startswith("two tasks")]


def test_a_quarantine_gets_what_is_flaky_once_and_keeps_what_people_wrote(tmp_path: Path) -> None:
    file = tmp_path / "quarantine.txt"
    flaky = flaky_in(
        [
            *(record("a", "oracle", verdict, number) for number, verdict in enumerate(("pass", "fail", "none"))),
            *(record("b", "nop", "pass", number) for number in range(2)),
            *(record("c", "forges", verdict) for verdict in ("pass", "fail")),
        ]
    )
    assert flaky == {"tasks/a/task.toml": "oracle got the reward 1 of 2 times"}
    add_to_quarantine(file, flaky)
    file.write_text(file.read_text() + "\nmine/task.toml\nc#/task.toml\t# or any other\n")
    add_to_quarantine(file, flaky)
    assert read_quarantine(file) == {**flaky, "mine/task.toml": "", "c#/task.toml": "or any other"}
    assert read_quarantine(tmp_path / "nowhere") == {}

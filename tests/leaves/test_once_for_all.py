"""Expensive work runs once, however many ask, and its failure is everybody's."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ImageBuildError, SandboxError
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from pytest_fargate_sandbox.leaves.errors import ImageBuildError, SandboxError
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all

def produce():
    with open(sys.argv[2], "a") as file:
        file.write("made\\n")
    if sys.argv[3] == "fail":
        raise ImageBuildError("step 3 failed", phase="BUILD", log_tail="no such package")
    return {"url": "image:1"}

try:
    print(once_for_all(Path(sys.argv[1]), "image", produce))
except SandboxError as error:
    print(type(error).__name__, error.phase, error.log_tail)
"""


def run_in_processes(tmp_path: Path, how: str) -> tuple[list[str], int]:
    made = tmp_path / "made"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "once"), str(made), how]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=30)[0].strip() for process in processes]
    return said, len(made.read_text().splitlines())


def test_many_processes_share_one_success(tmp_path: Path) -> None:
    said, made = run_in_processes(tmp_path, "succeed")
    assert said == ["{'url': 'image:1'}"] * 4
    assert made == 1


def test_many_processes_share_one_failure_with_its_log(tmp_path: Path) -> None:
    said, made = run_in_processes(tmp_path, "fail")
    assert said == ["ImageBuildError BUILD no such package"] * 4
    assert made == 1


def test_threads_share_it_too(tmp_path: Path) -> None:
    made: list[int] = []
    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(lambda _: once_for_all(tmp_path, "key", lambda: made.append(1) or "value"), range(8)))
    assert values == ["value"] * 8
    assert len(made) == 1


def test_another_key_is_other_work(tmp_path: Path) -> None:
    assert [once_for_all(tmp_path, key, lambda key=key: key.upper()) for key in ("a", "b", "a")] == ["A", "B", "A"]


def test_a_bug_is_shared_as_well(tmp_path: Path) -> None:
    def bug() -> None:
        raise ZeroDivisionError("division by zero")

    for _ in range(2):
        with pytest.raises(SandboxError, match="ZeroDivisionError: division by zero"):
            once_for_all(tmp_path, "bug", bug)


def test_an_interrupt_is_nobodys_failure(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once_for_all(tmp_path, "key", interrupted)
    assert once_for_all(tmp_path, "key", lambda: "made") == "made"


def test_a_shared_failure_is_the_same_kind_of_error(tmp_path: Path) -> None:
    def fail() -> None:
        raise ImageBuildError("no", phase="BUILD")

    with pytest.raises(ImageBuildError):
        once_for_all(tmp_path, "key", fail)
    with pytest.raises(ImageBuildError):
        once_for_all(tmp_path, "key", fail)

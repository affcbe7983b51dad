"""A first test: a container of its own, as if it were a local object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox


def test_a_command(fargate_sandbox: EcsFargateSandbox) -> None:
    assert fargate_sandbox.exec("uname").stdout == "Linux\n"


def test_an_exit_code_is_a_result(fargate_sandbox: EcsFargateSandbox) -> None:
    result = fargate_sandbox.exec("echo trying; exit 3")
    assert (result.return_code, result.stdout) == (3, "trying\n")


def test_files_go_in_and_out(fargate_sandbox: EcsFargateSandbox, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("3\n1\n2\n")
    fargate_sandbox.upload(tmp_path / "numbers.txt", "/tmp/numbers.txt")
    fargate_sandbox.exec("sort /tmp/numbers.txt > /tmp/sorted.txt", check=True)
    fargate_sandbox.download("/tmp/sorted.txt", tmp_path / "sorted.txt")
    assert (tmp_path / "sorted.txt").read_text() == "1\n2\n3\n"


def test_a_command_out_of_time_gives_what_it_said_so_far(fargate_sandbox: EcsFargateSandbox) -> None:
    result = fargate_sandbox.exec("echo one; sleep 60; echo two", timeout_sec=0.5)
    assert result.timed_out
    assert result.stdout == "one\n"


@pytest.mark.fargate(cpu=512, memory=1024, env={"GREETING": "hello"}, exec_timeout=30)
def test_the_marker_says_what_the_sandbox_is_made_of(fargate_sandbox: EcsFargateSandbox) -> None:
    assert fargate_sandbox.exec("echo $GREETING").stdout == "hello\n"

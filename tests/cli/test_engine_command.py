"""``fargate-sandbox engine`` and ``python -m pytest_fargate_sandbox.local``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_fargate_sandbox.cli.main import command_line, main


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "engine" in capsys.readouterr().out


def test_help_of_the_engine_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["engine", "--help"])
    told = capsys.readouterr().out
    assert all(fault in told for fault in ("throttle", "capacity", "missing", "fail-start", "die-after", "slow-pull"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--fault", "gravity=1"], "no fault is named 'gravity'"),
        (["--image", "name"], "expected NAME=DIR"),
        (["--image", "name=/no/such/directory"], "'/no/such/directory' is not a directory"),
        (["--launch-delay", "9-3"], "neither seconds (30) nor a range"),
        (["--runner", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_a_wrong_option_is_told_before_anything_starts(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["engine", *options])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_asking_for_help_loads_neither_moto_nor_boto3() -> None:
    script = """
import sys
from pytest_fargate_sandbox.cli.main import command_line, main
try:
    main(["engine", "--help"])
except SystemExit:
    pass
print([name for name in ("moto", "boto3", "paramiko") if name in sys.modules])
"""
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert asked.stdout.splitlines()[-1] == "[]"


def test_a_variable_that_is_set_to_nothing_leaves_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_LAUNCH_DELAY", "")
    monkeypatch.setenv("FARGATE_ENGINE_LOG", "")
    parsed = command_line(["engine"]).parse_args(["engine"])
    assert (parsed.launch_delay, parsed.log) == ((0.0, 0.0), None)

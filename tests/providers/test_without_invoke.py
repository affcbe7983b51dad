"""paramiko without invoke: not there until somebody wants it, and whole then."""

from __future__ import annotations

import subprocess
import sys

import pytest


def _seen_by(program: str) -> str:
    """What a fresh process prints: modules are loaded once in each."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_transport_does_not_load_invoke() -> None:
    assert (
        _seen_by("import sys, pytest_fargate_sandbox.providers.ssh.ssh_tunnel; print('invoke' in sys.modules)")
        == "False"
    )


def test_paramiko_reads_a_match_exec_line_as_ever() -> None:
    program = """
import pytest_fargate_sandbox.providers.ssh.ssh_tunnel, paramiko
config = paramiko.SSHConfig.from_text("Match exec true\\n  User somebody\\n")
print(config.lookup("host")["user"])
"""
    assert _seen_by(program) == "somebody"


@pytest.mark.parametrize("first", ["paramiko", "invoke"])
def test_what_somebody_has_imported_before_stays_as_it_is(first: str) -> None:
    program = f"""
import {first}
import pytest_fargate_sandbox.providers.ssh.ssh_tunnel, paramiko.config, invoke
print(paramiko.config.invoke is invoke, invoke.run.__module__)
"""
    assert _seen_by(program) == "True invoke"

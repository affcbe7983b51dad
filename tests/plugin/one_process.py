"""A run of pytest, begun without importing pytest again, and the same without workers."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from tests import warm_python

if TYPE_CHECKING:
    from pathlib import Path

_LOOKS_OR_ENDS = "ps", "stop", "sweep"


def run_pytest(pytester: pytest.Pytester, *args: str, given: str = "", timeout: float = 300) -> pytest.RunResult:
    """As ``pytester.runpytest_subprocess``; what ``-n`` starts is warm as well."""
    return run_in(pytester.path, *args, given=given, timeout=timeout)


def run_in(directory: Path, *args: str, given: str = "", timeout: float = 300) -> pytest.RunResult:
    began = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")])))
        patch.chdir(directory)
        command = [word for arg in args for word in warm(arg)]
        temporary = f"--basetemp={directory}-temporary"
        done = warm_python.run(*warm_python.PYTEST, temporary, *command, given=given, timeout=timeout)
    print(done.stdout, done.stderr, sep="\n")
    took = time.perf_counter() - began
    return pytest.RunResult(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), took)


def warm(argument: str) -> list[str]:
    """``-n2`` is ``--tx=2*popen --dist=load``, says xdist; a ``--dist`` that comes later counts."""
    if not re.fullmatch("-n[1-9]", argument):
        return [argument]
    return [f"--tx={argument[2:]}*popen//python={warm_python.INTERPRETER}", "--dist=load"]


def run(pytester: pytest.Pytester, source: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist", *args)


def fargate(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """``fargate-sandbox`` with these words; within this process what has to do with neither a terminal nor signals."""
    if words[0] not in _LOOKS_OR_ENDS:
        return warm_python.run("-m", "pytest_fargate_sandbox.cli.main", *words, given=given)
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(io.StringIO()) as wrong:
        code = main(words)
    return subprocess.CompletedProcess(words, code, told.getvalue(), wrong.getvalue())

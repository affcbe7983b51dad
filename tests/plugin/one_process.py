"""A run of pytest, begun without importing pytest again, and the same without workers."""

from __future__ import annotations

import os
import time

import pytest

from tests import warm_python


def run_pytest(pytester: pytest.Pytester, *args: str, given: str = "", timeout: float = 120) -> pytest.RunResult:
    """As ``pytester.runpytest_subprocess``."""
    began = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(pytester.path), os.environ.get("PYTHONPATH")])))
        patch.chdir(pytester.path)
        done = warm_python.run(
            *warm_python.PYTEST, f"--basetemp={pytester.path}-temporary", *args, given=given, timeout=timeout
        )
    print(done.stdout, done.stderr, sep="\n")
    took = time.perf_counter() - began
    return pytest.RunResult(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), took)


def run(pytester: pytest.Pytester, source: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist", *args)

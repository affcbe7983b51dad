"""A machine on which nothing can run a container: a sentence on the test that needs one, and nothing else happens."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

WITHOUT_RIGHTS = "echo 0 > /proc/sys/user/max_user_namespaces; PATH=/nowhere exec {setpriv} {command}"
"""To be run by root of a user namespace, whose children get none, nor any right to make other ones."""


@pytest.mark.needs("user namespaces")
def test_no_namespaces_and_no_docker_is_told_with_what_was_tried(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    pytester.makepyfile(test_it="def test_sandbox(fargate_sandbox): pass\ndef test_other(): pass\n")
    command = shlex.join([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"])
    setpriv = "/usr/bin/setpriv --bounding-set=-all --inh-caps=-all"
    result = pytester.run("unshare", "-Ur", "sh", "-c", WITHOUT_RIGHTS.format(setpriv=setpriv, command=command))
    assert result.ret == 1
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_sandbox*",
            "the local engine did not start: *",
            "The engine found no way to run containers on this machine. Tried:",
            "  namespaces: *",
            "  podman: there is no podman command here; install it, or use another runner",
            "  docker: there is no docker command here; install it, or use another runner",
            "ERROR *::test_sandbox - StartError: the local engine did not*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert engine_log.calls("RunTask") == 0

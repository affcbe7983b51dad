"""An engine that has loaded what any engine does, and is none yet: those of the tests begin as copies of it.

Most of what an engine takes to start is to import moto. What its start does beside, each copy does for itself; how one
starts that nobody has warmed, is tried by what says ``python -m pytest_fargate_sandbox.local``.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, AnyStr

from tests import warm_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

PROGRAM = ("-m", "pytest_fargate_sandbox.local")
_ADDRESS = "TESTS_WARM_ENGINE"
_OF_ALL = "of-all-workers"


class Popen(warm_python.Popen[AnyStr]):
    """As ``subprocess.Popen`` of this Python with these arguments, which begin with ``PROGRAM``."""

    def _address(self) -> str:
        return os.environ.get(_ADDRESS) or _warm_engine().address


@cache
def _warm_engine() -> warm_python.WarmProcess:
    return warm_python.WarmProcess(__file__, *PROGRAM)


def share() -> None:
    """As that of ``warm_python``."""
    os.environ[_ADDRESS] = warm_python.WarmProcess(__file__, *PROGRAM, _OF_ALL, when_asked=True).address


def lend(patch: pytest.MonkeyPatch) -> None:
    """Engines that this process starts begin warm, and those of the copies of a warm Python that it starts."""
    from pytest_fargate_sandbox.place import engine_start

    if _ADDRESS not in os.environ:
        patch.setenv(_ADDRESS, _warm_engine().address)
    patch.setattr(engine_start, "subprocess", Subprocess)


class Subprocess:
    """What is wanted of the module to start an engine: a warm one, where there is one."""

    DEVNULL = subprocess.DEVNULL

    @staticmethod
    def Popen(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: N802
        if _ADDRESS not in os.environ:
            return subprocess.Popen(command, **options)
        return Popen[bytes](command[1:], **options)


def _load() -> None:
    from pytest_fargate_sandbox.local import engine_options, engine_program  # noqa: F401
    from pytest_fargate_sandbox.local.runners.namespaces import namespaces_runner  # noqa: F401

    gc.disable()
    engine_program.forget_the_users_account()
    engine_program.loaded_engine()
    _load_services()
    if sys.argv[-1] == _OF_ALL and os.geteuid() == 0:  # whose store is the same in whatever home
        _ask_podman()
    gc.freeze()
    gc.enable()


def _load_services() -> None:
    """Those that most are asked for. What moto makes of one for an account, each copy makes for itself."""
    from moto.core.base_backend import BackendDict

    from pytest_fargate_sandbox.local.managed_policies import read_policies_late
    from pytest_fargate_sandbox.local.service_app import ServiceApp

    read_policies_late()
    for name in ("ecs", "ec2", "logs", "s3", "sts"):
        ServiceApp(name)
    BackendDict.reset()


def _ask_podman() -> None:
    """What it takes a quarter of a second of the processor to say, and each engine of its containers asks once."""
    from pytest_fargate_sandbox.local.runners.podman.command_line import CommandFailed, ContainerCommand

    with suppress(CommandFailed, OSError, ValueError, subprocess.TimeoutExpired):
        _ = ContainerCommand("podman").info


def _be_another() -> None:
    """It ends with the tests, and with this one where that is killed.

    moto's names of what it makes are by chance, and come from a source of its own.
    """
    from moto.moto_api._internal import mock_random

    from pytest_fargate_sandbox.local.runners.namespaces import linux

    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)
    mock_random.seed()


if __name__ == "__main__":
    _load()
    asked, given = warm_python.serve(socket.socket(fileno=int(sys.argv[1])), sys.stdin.fileno())
    if asked["new session"]:
        os.setsid()
    _be_another()
    warm_python.become(asked, given)

"""pytest leaves SIGTERM and SIGHUP to the system, which ends the process at once; our tasks deserve an orderly end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP is a terminal that was closed; under nohup it is ignored, and stays so."""


class EndingSignals:
    """Turns them into what Ctrl-C is, in the controller and in each worker.

    A terminal sends Ctrl-C to all of them; SIGTERM goes to the controller alone, which passes it on. Without it a
    worker would sit out its test, and be killed after ten seconds:
    https://github.com/pytest-dev/pytest-xdist/blob/v3.8.0/src/xdist/workermanage.py#L45
    """

    def __init__(self, run: PytestRun) -> None:
        self._run = run
        self._before: dict[signal.Signals, Any] = {}
        self._hung_up = False
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._before[number] = signal.signal(number, self._interrupt)
        if self._before and not run.is_controller:
            run.sign_in()

    def pytest_unconfigure(self) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._interrupt:
                signal.signal(number, before)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            # The kernel, the shell and the controller may all send one: the second would break off the orderly end.
            if self._hung_up:
                return
            self._hung_up = True
            if sys.platform == "linux":
                _write_to_nowhere()
        if self._run.is_controller:
            for worker in self._run.signed_in():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, number)
        raise KeyboardInterrupt(signal.Signals(number).name)


def _write_to_nowhere() -> None:
    """In place of a terminal that is gone: to write to one is an error, which would break off the end as well."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - pytest keeps copies
        if _is_hung_up(descriptor):
            os.dup2(nowhere, descriptor, inheritable=os.get_inheritable(descriptor))
    os.close(nowhere)


def _is_hung_up(descriptor: int) -> bool:
    """A terminal that is does not even say that it is one."""
    try:
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.write(descriptor, b"")
    except OSError as error:
        return error.errno == errno.EIO
    return False

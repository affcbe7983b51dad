"""pytest leaves SIGTERM to the system, which ends the process on the spot; our tasks deserve an orderly end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun


class Sigterm:
    """Turns SIGTERM into what Ctrl-C is, in the controller and in each worker.

    A terminal sends Ctrl-C to all of them; SIGTERM goes to the controller alone, which passes it on. Without it a
    worker would sit out its test, and be killed after ten seconds:
    https://github.com/pytest-dev/pytest-xdist/blob/v3.8.0/src/xdist/workermanage.py#L45
    """

    def __init__(self, run: PytestRun) -> None:
        self._run = run
        self._before: Any = None
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, self._interrupt)
            if not run.is_controller:
                run.sign_in()

    def pytest_unconfigure(self) -> None:
        if self._before is not None and signal.getsignal(signal.SIGTERM) == self._interrupt:
            signal.signal(signal.SIGTERM, self._before)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._run.is_controller:
            for worker in self._run.signed_in():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGTERM)
        raise KeyboardInterrupt("SIGTERM")

"""pytest leaves SIGTERM to the system, which ends the process on the spot; our tasks deserve an orderly end."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


class Signals:
    """Turns SIGTERM into what Ctrl-C is, in the controller and in each worker."""

    def __init__(self) -> None:
        self._before: Any = None
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, _interrupt)

    def pytest_unconfigure(self) -> None:
        if self._before is not None and signal.getsignal(signal.SIGTERM) is _interrupt:
            signal.signal(signal.SIGTERM, self._before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("SIGTERM")

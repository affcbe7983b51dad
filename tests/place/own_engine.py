"""The engine that a test of its own has started."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.place import engine_users
from pytest_fargate_sandbox.place.engine_process import EngineProcess

if TYPE_CHECKING:
    from pathlib import Path


def end_engine_in(directory: Path) -> None:
    """Whatever state it is in; this process does not hold it any more."""
    left = EngineProcess.of(directory)
    if left is not None:
        os.kill(left.pid, signal.SIGKILL)
    for (pid, used), descriptor in list(engine_users._used.items()):
        if used == directory:
            os.close(descriptor)
            del engine_users._used[pid, used]

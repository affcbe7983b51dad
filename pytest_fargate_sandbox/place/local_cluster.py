"""The cluster ``local``: an engine that is found, or started, and that ends with the last of those who use it.

FARGATE_ENGINE_DIR      where the engine and its users meet; by default a directory of the user's cache, one for
                        each way of starting an engine
FARGATE_ENGINE_OPTIONS  options of ``fargate-sandbox engine`` for an engine that we start, as in a shell
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import StartError, StartTimeout
from pytest_fargate_sandbox.leaves.file_lock import FileLock, Timeout
from pytest_fargate_sandbox.place.engine_process import EngineProcess, Pulse
from pytest_fargate_sandbox.place.engine_start import START_SEC, start_engine
from pytest_fargate_sandbox.place.engine_users import outlast, use_engine
from pytest_fargate_sandbox.place.local_engine import LocalEngine

if TYPE_CHECKING:
    from pathlib import Path


def local_engine() -> LocalEngine:
    """The engine, started if there is none; this process counts as a user of it until its end.

    Raises ``StartError`` with what the engine said when it cannot be started.
    """
    directory = use_engine()
    engine = LocalEngine.read(directory)
    if engine is not None and engine.pulse() is Pulse.ANSWERS:
        return engine
    try:
        with FileLock(directory / "start.lock", timeout=2 * START_SEC):
            return _found_or_started(directory)
    except Timeout:
        text = f"another process has been starting the local engine of {directory} for {2 * START_SEC:.0f} s"
        raise StartTimeout(text, phase="engine", reason=text) from None


def _found_or_started(directory: Path) -> LocalEngine:
    try:
        return _found(directory) or start_engine(directory)
    except StartError as error:
        if not error.transient:
            raise
    return _found(directory) or start_engine(directory)


def _found(directory: Path) -> LocalEngine | None:
    """The engine there, once it serves; None when no process has the directory any more."""

    def probe() -> LocalEngine | bool | None:
        process = EngineProcess.of(directory)
        if process is None:
            return False
        engine = LocalEngine.read(directory)
        return engine if engine and engine.pulse() is Pulse.ANSWERS else None  # it starts, or is about to end

    found = outlast(directory, START_SEC, probe)
    return found if isinstance(found, LocalEngine) else None

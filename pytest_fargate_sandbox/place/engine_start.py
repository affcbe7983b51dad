"""The start of a local engine, as a program of its own, and why there was none."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from pytest_fargate_sandbox.leaves.errors import StartError, StartTimeout
from pytest_fargate_sandbox.leaves.names import ENV_ENGINE_LOG, ENV_ENGINE_OPTIONS
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.place.engine_process import EngineProcess
from pytest_fargate_sandbox.place.engine_users import ENV_OF_ENGINE
from pytest_fargate_sandbox.place.local_engine import LocalEngine

_log = logging.getLogger("pytest_fargate_sandbox.engine")

START_SEC = 60.0
_NOTED_ENGINES = 3


def start_engine(directory: Path) -> LocalEngine:
    _forget_old_notes(directory / "notes")
    complaint, output = directory / "engine.err", directory / "engine.out"
    complaint.unlink(missing_ok=True)
    began = time.monotonic()
    process = _spawn(directory, output)

    def probe() -> LocalEngine | None:
        if process.poll() is not None:
            what = f"it ended with exit code {process.returncode}"
            # It was killed; or another was quicker, whose starter had died and left it: ours has found the lock taken.
            transient = process.returncode < 0 or EngineProcess.of(directory) is not None
            raise _no_engine(complaint, output, what, transient=transient)
        there = EngineProcess.of(directory)
        if there is not None and there.stays_stopped():
            process.kill()
        engine = LocalEngine.read(directory)
        return engine if engine and engine.pid == process.pid else None

    try:
        engine = wait_until(probe, deadline=START_SEC, what="the start of the engine", longest_pause=0.1)
    except WaitTimeout as error:
        process.kill()
        process.wait()
        raise _no_engine(complaint, output, str(error), StartTimeout) from error
    _log.info("the local engine of %s serves after %.1f s", directory, time.monotonic() - began)
    process.returncode = 0  # others may use it longer than we live: it is no child to be waited for any more
    return engine


def _spawn(directory: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(directory), *_options()]
    environment = dict(os.environ)
    if log := environment.get(ENV_ENGINE_LOG):  # it starts in another directory than ours
        environment[ENV_ENGINE_LOG] = str(Path(log).absolute())
    with output.open("wb") as file:
        # A session of its own: Ctrl-C is for us, and we are the ones who end the engine. No inherited pipe either, or
        # somebody who reads our output to its end would wait for the engine's.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=environment,
        )


def _options() -> list[str]:
    said = os.environ.get(ENV_ENGINE_OPTIONS, "")
    try:
        return shlex.split(said)
    except ValueError as error:
        text = f"{ENV_ENGINE_OPTIONS}={said}: no shell would take it: {error}"
        raise StartError(text, phase="engine", reason=text) from error


def _forget_old_notes(notes: Path) -> None:
    """They are about the engines before. Of the last ones somebody may be taking some still, who has not heard yet."""
    engines = sorted(notes.glob("*"), key=lambda each: each.stat().st_mtime)
    for each in engines[:-_NOTED_ENGINES]:
        shutil.rmtree(each, ignore_errors=True)


def _no_engine(
    complaint: Path, output: Path, what: str, kind: type[StartError] = StartError, *, transient: bool = False
) -> StartError:
    texts = [path.read_text(errors="replace").strip() for path in (complaint, output) if path.exists()]
    said = next(filter(None, texts), "")
    if said.startswith("python -m "):  # what it does not take it has from the environment
        wrong = said.partition(": ")[2].rpartition(" (see ")[0]
        is_named = wrong.startswith(ENV_OF_ENGINE)
        what, said = wrong if is_named else f"{wrong} (of {', '.join(ENV_OF_ENGINE)})", ""
    if not said and not os.statvfs(output.parent).f_bavail:  # nor had it room to say so
        what = (
            f"no space is left in {output.parent}: make some, or set XDG_CACHE_HOME or FARGATE_ENGINE_DIR to a "
            "directory that has it"
        )
    text = f"the local engine did not start: {what}\n{said}".rstrip()
    return kind(text, phase="engine", reason=said or what, transient=transient)

"""Each test has a cache directory of its own, so an engine of its own too, whose log proves what is said about it.

Where it is no matter whose engine that is, ``shared_engine_log`` saves the start of one; and what one run shows of
several things, each a test of its own, ``one_run`` does for all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from tests.components import need
from tests.plugin.one_process import run_in, warm
from tests.warm_python import PYTEST, Popen

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests


HOLDER = """
import sys
from pytest_fargate_sandbox.place.local_cluster import local_engine
local_engine()
print("held", flush=True)
sys.stdin.read()
"""


class EngineLog:
    """What an engine has written down: calls, and what became of each task."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin = 0

    def forget(self) -> None:
        """What was written so far."""
        self._begin = self._path.stat().st_size

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        whole = self._path.read_text()[self._begin :].rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def engines_started(self) -> int:
        return sum(1 for line in self.lines if line.get("event") == "ready")

    def calls(self, operation: str) -> int:
        return sum(1 for line in self.lines if line.get("operation") == operation and line["status"] == 200)

    def tasks(self) -> dict[str, str]:
        """Each task's last status."""
        return {line["task"]: line["status"] for line in self.lines if line["kind"] == "task"}

    def most_alive(self) -> int:
        alive: set[str] = set()
        most = 0
        for line in self.lines:
            if line["kind"] == "task":
                (alive.discard if line["status"] == "STOPPED" else alive.add)(line["task"])
                most = max(most, len(alive))
        return most

    def cut_off(self, seconds: float = 60.0) -> list[str]:
        """The tasks that were alive when the engine ended, which it does once nobody uses it any more."""

        def probe() -> list[str] | None:
            return next((line["tasks_cut_off"] for line in self.lines if line.get("event") == "ended"), None)

        return wait_until(probe, deadline=seconds, what="the end of the engine")


class SharedEngineLog(EngineLog):
    """What an engine that does not end with a run has written down since this test began."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._before: set[str] = set()
        self._before = set(self.tasks())
        self._begin = path.stat().st_size

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [line for line in super().lines if line.get("task") not in self._before]

    def cut_off(self, seconds: float = 20.0) -> list[str]:
        """The tasks that outlived the run: nobody else would stop them."""

        def probe() -> bool | None:
            return set(self.tasks().values()) <= {"STOPPED"} or None

        with contextlib.suppress(WaitTimeout):
            wait_until(probe, deadline=seconds, what="the end of all tasks")
        return [task for task, status in self.tasks().items() if status != "STOPPED"]


class EndedLog(EngineLog):
    """What an engine has written down of a run that is over, whoever uses it afterwards."""

    def __init__(self, log: EngineLog) -> None:
        self._left = log.cut_off()
        self._lines = log.lines

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self._lines

    def cut_off(self, seconds: float = 0.0) -> list[str]:  # noqa: ARG002
        return self._left


@dataclass(frozen=True)
class OneRun:
    """A run that several tests look at, each for one thing."""

    path: Path
    result: pytest.RunResult
    log: EngineLog


def _as_a_user(patch: pytest.MonkeyPatch, home: Path) -> Path:
    """The log of the engine that is started there."""
    for name in list(os.environ):
        if name == "CI" or name.startswith(("FARGATE_", "PYTEST_XDIST_")):
            patch.delenv(name)
    log = home / "engine.jsonl"
    patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    patch.setenv("FARGATE_ENGINE_LOG", str(log))
    return log


def _share(patch: pytest.MonkeyPatch, engine: EngineOfTests) -> EngineLog:
    patch.setenv("FARGATE_ENGINE_DIR", str(engine.directory))
    patch.setenv("FARGATE_ENGINE_LOG", str(engine.log))
    patch.setenv("FARGATE_ENGINE_OPTIONS", engine.options)  # it may be we who start it
    assert engine.engine.directory == engine.directory, "it runs, and goes on as long as we do"
    return SharedEngineLog(engine.log)


@pytest.fixture(scope="module")
def one_run(_engine_of_tests: EngineOfTests, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., OneRun]:
    """``one_run(files, args)``, for a fixture of the module: a run on the engine that all share.

    ``any_image``: on one of its own, which has podman's images too.
    """

    def make(files: Mapping[str, str], args: tuple[str, ...], *, any_image: bool = False) -> OneRun:
        home = tmp_path_factory.mktemp("one-run")
        path = home / "project"
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            own = EngineLog(_as_a_user(patch, home))
            log = own if any_image else _share(patch, _engine_of_tests)
            patch.setenv("HOME", str(home))
            result = run_in(path, *args)
            return OneRun(path, result, EndedLog(log))

    return make


@pytest.fixture(autouse=True)
def _own_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _as_a_user(monkeypatch, tmp_path)


@pytest.fixture
def engine_log(_own_engine: Path, warm_engines: None) -> EngineLog:  # noqa: ARG001
    need("namespaces")
    return EngineLog(_own_engine)


@pytest.fixture
def shared_engine_log(engine: EngineOfTests, _own_engine: Path, monkeypatch: pytest.MonkeyPatch) -> EngineLog:
    return _share(monkeypatch, engine)


@pytest.fixture
def any_image_log(engine_log: EngineLog, _own_engine: Path) -> Iterator[EngineLog]:  # noqa: ARG001
    """Of an engine that has podman's images too, and serves run after run."""
    user = Popen[str](["-c", HOLDER], stdin=PIPE, stdout=PIPE, text=True)
    assert user.stdout
    assert user.stdout.readline() == "held\n"
    yield SharedEngineLog(_own_engine)
    user.communicate()


@pytest.fixture
def started(pytester: pytest.Pytester) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``started(*args)`` begins a pytest run in a session of its own."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*args: str) -> subprocess.Popen[bytes]:
        command = [*PYTEST, *(word for arg in args for word in warm(arg))]
        with (pytester.path / "output.txt").open("wb") as output:
            process = Popen[bytes](command, cwd=pytester.path, stdout=output, stderr=output, start_new_session=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

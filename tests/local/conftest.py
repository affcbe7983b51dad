"""What many tests here run on: an engine and a namespaces runner for all of a worker's tests.

Each of them takes a look at the whole host when it is made. A file that wants a runner of another kind has a fixture
``runner`` of its own; ``tasks`` takes whichever is nearest.
"""

from __future__ import annotations

import shutil
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from tests.components import need, program
from tests.local.engine_process import EngineProcess
from tests.local.running_tasks import RunningTasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Started in a shell that names some account of AWS's."""
    need("namespaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_PROFILE", "nobody-has-this")
        patch.setenv("MOTO_ACCOUNT_ID", "999999999999")
        process = EngineProcess(log=tmp_path_factory.mktemp("engine") / "log.jsonl")
    yield process
    assert process.close() == 0


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system that holds nothing but busybox and names for its parts."""
    busybox = program("busybox")
    root = tmp_path_factory.mktemp("busybox")
    root.chmod(0o755)
    (root / "bin").mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "ls", "cat", "sleep", "id", "echo", "nc", "touch", "test"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/marker").write_text("ours")
    return root


@pytest.fixture(scope="session")
def gate() -> Iterator[socket.socket]:
    """What stands for the engine's gate: it answers each connection with what it was sent, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer_in_capitals, args=(listener,), daemon=True).start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)


def _answer_in_capitals(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer_one_in_capitals, args=(connection,), daemon=True).start()


def _answer_one_in_capitals(connection: socket.socket) -> None:
    with connection:
        connection.sendall(connection.recv(1000).upper())


@pytest.fixture(scope="session")
def runner(busybox_image: Path, gate: socket.socket) -> Iterator[NamespacesRunner]:
    need("namespaces")
    images = {
        "busybox": (str(busybox_image),),
        "layered": (str(busybox_image), "/"),
        "lost": ("/no/such/directory",),
    }
    runner = NamespacesRunner(images=images, gate_address=gate.getsockname())
    yield runner
    runner.close()


@pytest.fixture
def tasks(runner: NamespacesRunner) -> Iterator[RunningTasks]:
    tasks = RunningTasks(runner)
    yield tasks
    tasks.close()

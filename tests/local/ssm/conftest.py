"""Tasks with ECS Exec on the engine of these tests, and sessions with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.local.ssm.exec_task import PORT, ExecTask, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.local.engine_process import EngineProcess

SLEEPY_PORT, GREETING_PORT = 7001, 7002
_SERVE = f"""
import os, signal, socket, threading, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
def listen(port, serve):
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
def echo(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)
def sleep(connection):
    while not connection.recv(1, socket.MSG_PEEK).startswith(b"!"):
        time.sleep(0.05)
def greet(connection):
    connection.sendall(b"hello" * 100)
    connection.close()
listen({PORT}, echo)
listen({SLEEPY_PORT}, sleep)
listen({GREETING_PORT}, greet)
time.sleep(1000)
"""
"""An echo, one that reads nothing, and one that says something and goes."""


@pytest.fixture(scope="package")
def _standing(engine: EngineProcess) -> Iterator[ExecTask]:
    task = launch(engine, entryPoint=["python3", "-c", _SERVE], command=[]).wait_for_echo()
    yield task
    engine.stop(task.arn)


@pytest.fixture(scope="module")
def task(engine: EngineProcess, _standing: ExecTask) -> Iterator[ExecTask]:
    """One task for all who leave it as it was, and the engine without an error of its own."""
    errors = engine.log_lines("error")
    yield _standing
    assert engine.log_lines("error") == errors


@pytest.fixture
def faults(engine: EngineProcess) -> Iterator[Callable[..., None]]:
    """Those of a test, and none behind it."""
    asked: set[str] = set()

    def set_faults(**values: float) -> None:
        asked.update(values)
        engine.set_faults(**values)

    yield set_faults
    engine.set_faults(**dict.fromkeys(asked, 0))


def wait_a_moment() -> None:
    """For what is not to happen."""
    time.sleep(0.3)

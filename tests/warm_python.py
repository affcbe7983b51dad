"""A Python that has imported already what most programs of these tests import: a program begins as a copy of it.

Half of what a run of pytest with one sandbox takes is to import pytest, boto3 and paramiko. What is ours is not among
it: each program imports that as it would anywhere.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PYTEST = ("-m", "pytest", "-pno:anyio")
"""For a run within a test. anyio's plugin would import asyncio, in each worker of it."""

_LOADED = "boto3", "botocore.client", "botocore.endpoint", "botocore.signers", "paramiko", "xml.etree.ElementTree"
_LARGEST_REQUEST = 1 << 20


def run(*arguments: str, given: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` of this Python with these arguments, which begin with ``-m`` or ``-c``."""
    with TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in ("stdin", "stdout", "stderr")]
        for path, text in zip(paths, (given, "", ""), strict=True):
            path.write_text(text)
        files = [path.open("r+") for path in paths]
        request = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "directory": str(Path.cwd()),
            "umask": _umask(),
        }
        try:
            code = _warm_python().run(request, [file.fileno() for file in files], timeout)
        finally:
            for file in files:
                file.close()
        return subprocess.CompletedProcess(arguments, code, paths[1].read_text(), paths[2].read_text())


def as_interpreter() -> str:
    """What may stand where the command of a Python is asked for, which ends with its standard input."""
    return f"{sys.executable} -I -S {Path(__file__).with_name('warm_worker.py')} {_warm_python().address}"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@cache
def _warm_python() -> _WarmPython:
    return _WarmPython()


class _WarmPython:
    """It ends with this process, whose end of its standard input goes then."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory()
        self.address = str(Path(self._directory.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            program = [sys.executable, __file__, str(listener.fileno())]
            self.process = subprocess.Popen(program, pass_fds=[listener.fileno()], stdin=subprocess.PIPE)

    def run(self, request: dict[str, Any], files: list[int], timeout: float) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.address)
            socket.send_fds(connection, [_line(request)], files)
            answers = connection.makefile("r")
            pid = int(answers.readline())
            in_time = select.select([connection], [], [], timeout)[0]
            if not in_time:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            code = int(answers.readline())
        if not in_time:
            raise subprocess.TimeoutExpired(request["arguments"], timeout)
        return code


def _line(message: object) -> bytes:
    return (json.dumps(message) + "\n").encode()


def _serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Returns in each copy, with what is asked of it."""
    ended, news = os.pipe()
    os.set_blocking(news, False)
    signal.set_wakeup_fd(news)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting: dict[int, socket.socket] = {}
    while True:
        ready = select.select([listener, ended, sys.stdin], [], [])[0]
        if sys.stdin in ready:
            os._exit(0)
        if ended in ready:
            os.read(ended, 100)
            _tell(waiting)
        if listener in ready:
            connection, _ = listener.accept()
            data, files, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST, 3)
            while not data.endswith(b"\n"):
                data += connection.recv(_LARGEST_REQUEST)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (listener, connection, *waiting.values()):
                    each.close()
                os.close(ended)
                os.close(news)
                return json.loads(data), files
            for file in files:
                os.close(file)
            waiting[pid] = connection
            connection.sendall(_line(pid))


def _tell(waiting: dict[int, socket.socket]) -> None:
    """Whoever waits for one that has ended."""
    for pid in list(waiting):
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            with waiting.pop(pid) as connection, suppress(OSError):
                connection.sendall(_line(os.waitstatus_to_exitcode(status)))


def _load() -> None:
    from _pytest.config import default_plugins

    for name in (*_LOADED, *(f"_pytest.{name}" for name in default_plugins)):
        import_module(name)
    gc.freeze()  # or each copy looks through all of it, and has it copied


def _become(request: dict[str, Any], files: list[int]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    os.umask(request["umask"])
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    how, what, *rest = request["arguments"]
    sys.argv[:] = [how, *rest]
    sys.path[:1] = [request["directory"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _load()
    _become(*_serve(socket.socket(fileno=int(sys.argv[1]))))

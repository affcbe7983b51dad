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

PYTEST = ("-m", "pytest", "-pno:cacheprovider", "-pno:anyio")
"""For a run within a test. anyio's plugin would import asyncio, in each worker of it."""

_LOADED = "boto3", "botocore.client", "botocore.endpoint", "botocore.signers", "paramiko", "xml.etree.ElementTree"


def run(*arguments: str, given: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` of this Python with these arguments, which begin with ``-m`` or ``-c``."""
    with TemporaryDirectory() as directory:
        files = [Path(directory, name) for name in ("stdin", "stdout", "stderr")]
        for file, text in zip(files, (given, "", ""), strict=True):
            file.write_text(text)
        request = {
            "arguments": arguments,
            "files": [str(file) for file in files],
            "environment": dict(os.environ),
            "directory": str(Path.cwd()),
            "umask": _umask(),
        }
        code = _warm_python().run(request, timeout)
        return subprocess.CompletedProcess(arguments, code, files[1].read_text(), files[2].read_text())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@cache
def _warm_python() -> _WarmPython:
    return _WarmPython()


class _WarmPython:
    """It ends with this process, whose end of the connection goes then."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            program = [sys.executable, __file__, str(its.fileno())]
            self.process = subprocess.Popen(program, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
        self._socket = ours
        self._lines = ours.makefile("r")

    def run(self, request: dict[str, Any], timeout: float) -> int:
        self._socket.sendall((json.dumps(request) + "\n").encode())
        pid = int(self._lines.readline())
        if not select.select([self._socket], [], [], timeout)[0]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._lines.readline()
            raise subprocess.TimeoutExpired(request["arguments"], timeout)
        return int(self._lines.readline())


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Returns in each copy, with what is asked of it."""
    for line in connection.makefile("r"):
        pid = os.fork()
        if pid == 0:
            connection.close()
            request: dict[str, Any] = json.loads(line)
            return request
        connection.sendall(f"{pid}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _load() -> None:
    from _pytest.config import default_plugins

    for name in (*_LOADED, *(f"_pytest.{name}" for name in default_plugins)):
        import_module(name)
    gc.freeze()  # or each copy looks through all of it, and has it copied


def _become(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    os.umask(request["umask"])
    for number, name in enumerate(request["files"]):
        file = os.open(name, os.O_RDWR)
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
    with socket.socket(fileno=int(sys.argv[1])) as _connection:
        _request = _serve(_connection)
    _become(_request)

"""A Python that has imported already what most programs of these tests import: a program begins as a copy of it.

Half of what a run of pytest with one sandbox takes is to import pytest, boto3 and paramiko, and a third of the rest
to import what is ours, to read botocore's models and to make the server's source fit to be shipped. What a program
imports, and what that costs, is tried with a Python of its own.

A copy's children can have copies too, by ``INTERPRETER``. With a session of its own it serves them from in there, so
that who signals all of the session, as a terminal does, meets them.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, AnyStr, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTEST = ("-m", "pytest", "-pno:anyio")
"""For a run within a test. anyio's plugin would import asyncio, in each worker of it."""

_LOADED = (
    *("boto3", "botocore.client", "botocore.endpoint", "botocore.signers", "paramiko", "xml.etree.ElementTree"),
    *("encodings.idna", "faulthandler", "importlib.readers", "pdb", "readline", "statistics"),
    *("execnet", "packaging.version", "platformdirs", "xdist.dsession", "xdist.looponfail", "xdist.remote"),
)
_OURS = (
    "pytest_fargate_sandbox.plugin.settings.mfa_code",
    "pytest_fargate_sandbox.plugin.tasks_as_tests.task_collection",
    "pytest_fargate_sandbox.plugin.wiring",
    "pytest_fargate_sandbox.plugin.wish",
    "pytest_fargate_sandbox.providers.aws.quick_loader",
    "pytest_fargate_sandbox.providers.ssh.key_pairs",
    "pytest_fargate_sandbox.providers.ssh.ssh_tunnel",
    "pytest_fargate_sandbox.records.run_report",
    "pytest_fargate_sandbox.run.builds_ahead",
    "pytest_fargate_sandbox.run.pool",
    "pytest_fargate_sandbox.run.sandbox_spec",
    "pytest_fargate_sandbox.sandbox.exec.exec_client",
    "pytest_fargate_sandbox.sandbox.modes.agent_mode",
    "pytest_fargate_sandbox.sandbox.modes.ecs_exec_mode",
    "pytest_fargate_sandbox.sandbox.modes.exec_mode",
)
_ASKED_FOR = "platformdirs", "pytest_fargate_sandbox", "pytest_fargate_sandbox.plugin", "xdist"
"""What pytest asks for by name, and warns of where it is there already and has assertions that it would rewrite."""
_MODELS = "endpoints", "partitions", "sdk-default-configuration"
_LESSONS = "files.file_verbs", "slots.slot_verbs"
_LARGEST_REQUEST = 1 << 20
_MOST_DESCRIPTORS = 8
_ENVIRONMENT = dict(os.environ)
"""Of no test: what one of them sets would be there in the copies of all others."""
_LONGEST_BIRTH = 60
"""Seconds, the loading of what is copied among them. Whoever waits longer says so, and does not wait for ever."""
_SPARE = 500
"""From here on are numbers that nobody asks for."""
_ADDRESS = "TESTS_WARM_PYTHON"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_OF_ALL_WORKERS = "TESTS_WARM_PYTHON_OF_ALL"
_WORKER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("warm_worker.py"))]
INTERPRETER = " ".join(_WORKER)
"""What may stand, in what runs warm, where the command of a Python is asked for that ends with its standard input."""


def command(*arguments: str) -> list[str]:
    """For whoever starts programs by their command. Signals of a terminal do not meet the copy that this stands for."""
    return ["env", f"{_ADDRESS}={address()}", *_WORKER, *arguments]


def run(*arguments: str, given: str = "", timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` of this Python with these arguments, which begin with ``-m`` or ``-c``."""
    with TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in ("stdin", "stdout", "stderr")]
        for path, text in zip(paths, (given, "", ""), strict=True):
            path.write_text(text)
        with paths[0].open() as stdin, paths[1].open("w") as stdout, paths[2].open("w") as stderr:
            process = Popen(arguments, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(arguments, code, paths[1].read_text(), paths[2].read_text())


class Popen(subprocess.Popen[AnyStr]):
    """As ``subprocess.Popen`` of this Python with these arguments, which begin with ``-m`` or ``-c``.

    The warm Python waits for the end of its copy, and says what came of it.
    """

    def __init__(self, arguments: Sequence[str], **options: Any) -> None:
        super().__init__([sys.executable, *arguments], **options)

    def _execute_child(self, args: Sequence[str], *how: Any) -> None:
        descriptors, directory, environment, new_session = list(how[3]), how[4], how[5], how[20]
        pipes = how[9:15]
        request = {
            "arguments": args[1:],
            "environment": dict(os.environ if environment is None else environment),
            "directory": str(directory or Path.cwd()),
            "umask": _umask(),
            "new session": new_session,
            "descriptors": descriptors,
        }
        files = [number if pipe == -1 else pipe for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        self._news = socket.socket(socket.AF_UNIX)
        self._news.settimeout(_LONGEST_BIRTH)
        self._news.connect(self._address())
        socket.send_fds(self._news, [_line(request)], [*files, *descriptors])
        self._told = self._news.makefile("r")
        self.pid = int(self._told.readline())
        self._news.settimeout(None)
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _address(self) -> str:
        """Of the process whose copy it is to be."""
        return address()

    def __del__(self, *_: Any) -> None:
        super().__del__()
        if self.returncode is not None:  # else it is still asked for its end
            self._told.close()
            self._news.close()

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._end(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._end(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _end(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._news], [], [], timeout)[0]:
            # Where the warm Python went first, as when a run is ended, nobody knows what came of its copy.
            self.returncode = int(self._told.readline() or -signal.SIGKILL)
            self._told.close()
            self._news.close()
        return self.returncode


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def share() -> None:
    """One for all workers, who are about to begin. It does when the first of them wants it."""
    os.environ[_OF_ALL_WORKERS] = WarmProcess(__file__, when_asked=True).address


@cache
def address() -> str:
    return _ENVIRONMENT.get(_OF_ALL_WORKERS) or WarmProcess(__file__).address


class WarmProcess:
    """It ends with this process, whose end of its standard input goes then."""

    _all: ClassVar[list[WarmProcess]] = []

    def __init__(self, program_file: str, *words: str, when_asked: bool = False) -> None:
        """``words`` say in a list of processes what it is."""
        self._all.append(self)
        self._directory = TemporaryDirectory()
        self.address = str(Path(self._directory.name, "socket"))
        self._listener = _listener(self.address)
        self._program = [sys.executable, program_file, str(self._listener.fileno()), *words]
        if when_asked:
            threading.Thread(target=self._begin_when_asked, name="warm process", daemon=True).start()
        else:
            self._begin()

    def _begin_when_asked(self) -> None:
        select.select([self._listener], [], [])
        self._begin()

    def _begin(self) -> None:
        with self._listener as listener:
            self._process = subprocess.Popen(
                self._program, pass_fds=[listener.fileno()], stdin=subprocess.PIPE, env=_ENVIRONMENT
            )


def _listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    return listener


def _line(message: object) -> bytes:
    return (json.dumps(message) + "\n").encode()


def serve(listener: socket.socket, lifeline: int) -> tuple[dict[str, Any], list[int]]:
    """Returns in each copy, with what is asked of it. Nobody writes to ``lifeline``: it ends with whom this is for."""
    address = listener.getsockname()
    ended, news = os.pipe()
    os.set_blocking(news, False)
    signal.set_wakeup_fd(news)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    asking: set[socket.socket] = set()
    waiting: dict[int, socket.socket] = {}
    while True:
        ready = select.select([listener, ended, lifeline, *asking], [], [])[0]
        if lifeline in ready:
            os._exit(0)
        if ended in ready:
            os.read(ended, 100)
            _tell(waiting)
        if listener in ready:
            asking.add(listener.accept()[0])
        for connection in asking.intersection(ready):
            asking.remove(connection)
            data, files = _what_is_asked(connection)
            if not data:
                connection.close()
                continue
            pid = os.fork()
            if pid == 0:
                _forget_to_serve(listener, connection, *asking, *waiting.values())
                os.close(ended)
                os.close(news)
                request = json.loads(data)
                request["environment"][_ADDRESS] = address
                return request, files
            for file in files:
                os.close(file)
            waiting[pid] = connection
            with suppress(OSError):  # of whoever was killed meanwhile
                connection.sendall(_line(pid))


def _forget_to_serve(*sockets: socket.socket) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *_SIGNALS):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in sockets:
        each.close()


def _what_is_asked(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Nothing, by whoever was killed or interrupted before he had said all."""
    data, files = b"", list[int]()
    with suppress(OSError):
        data, files, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST, _MOST_DESCRIPTORS)
        while not data.endswith(b"\n"):
            more = connection.recv(_LARGEST_REQUEST)
            if not more:
                break
            data += more
    if data.endswith(b"\n"):
        return data, files
    for file in files:
        os.close(file)
    return b"", []


def _tell(waiting: dict[int, socket.socket]) -> None:
    """Whoever waits for one that has ended."""
    for pid in list(waiting):
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            with waiting.pop(pid) as connection, suppress(OSError):
                connection.sendall(_line(os.waitstatus_to_exitcode(status)))


def _load() -> None:
    from _pytest.config import default_plugins

    for name in (*_LOADED, *(f"_pytest.{name}" for name in default_plugins), *_OURS):
        import_module(name)
    _read()
    from pytest_fargate_sandbox.place import engine_start
    from tests.warm_engine import Subprocess
    from tests.warm_pytest import look_through

    look_through()
    engine_start.subprocess = Subprocess  # type: ignore[misc, assignment]
    for name in (*_ASKED_FOR, "tests", "tests.warm_engine", "tests.warm_pytest", "tests.warm_python"):
        del sys.modules[name]
    gc.freeze()  # or each copy looks through all of it, and has it copied


def _read() -> None:
    """What each copy would read for itself: of botocore, the files that any client needs and ECS's; our server."""
    from botocore.loaders import JSONFileLoader

    from pytest_fargate_sandbox.providers.aws.quick_loader import QuickLoader
    from pytest_fargate_sandbox.server import bundle

    load_file = cache(JSONFileLoader().load_file)
    JSONFileLoader.load_file = lambda _self, file_path: load_file(file_path)  # type: ignore[method-assign]
    loader = QuickLoader()
    loader.load_service_model("ecs", "service-2")
    for name in _MODELS:
        loader.load_data(name)
    bundle.shipped_source()
    for lesson in _LESSONS:
        bundle.lesson(lesson)


def _with_a_session(request: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], list[int]]:
    """Returns in this copy, and in those that its children ask for, as long as it lives, with what is asked of each."""
    os.setsid()
    lifeline, kept = os.pipe()
    address = f"{request['environment'][_ADDRESS]}.{os.getpid()}"
    with _listener(address) as listener:
        if os.fork():
            os.close(lifeline)
            request["environment"][_ADDRESS] = address
            return request, files
        for file in (kept, *files):
            os.close(file)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        return serve(listener, lifeline)


def become(request: dict[str, Any], files: list[int]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    os.umask(request["umask"])
    spare = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _SPARE) for file in files]
    for file in files:
        os.close(file)
    for number, file in zip((0, 1, 2, *request["descriptors"]), spare, strict=True):
        os.dup2(file, number)
        os.close(file)
    how, what, *rest = request["arguments"]
    sys.argv[:] = [how, *rest]
    sys.path[:1] = [request["directory"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if "xdist.workermanage" in sys.modules:
        sys.modules["xdist.workermanage"]._sys_path[:] = sys.path  # which it keeps for workers as it is imported
    if how == "-m":
        try:
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            _end(ended)
            raise
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        _end(SystemExit())


def _end(ended: SystemExit) -> None:
    """As Python ends, but without taking all apart that was imported, which would have it copied first."""
    if ended.code is None or isinstance(ended.code, int):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit((ended.code or 0) & 0xFF)


if __name__ == "__main__":
    _load()
    asked, given = serve(socket.socket(fileno=int(sys.argv[1])), sys.stdin.fileno())
    if asked["new session"]:
        asked, given = _with_a_session(asked, given)
    become(asked, given)

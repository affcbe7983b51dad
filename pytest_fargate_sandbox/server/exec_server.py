"""The first process of a sandbox's main container: serve, reap, and end well."""

import gc
import os
import signal
import sys
import threading
from functools import partial

from pytest_fargate_sandbox.leaves.names import ENV_LOG, ENV_SERVER_PORT, ENV_TOKEN_SHA256, ENV_TTL, EXIT_EXPIRED
from pytest_fargate_sandbox.server.commands.command_table import Commands
from pytest_fargate_sandbox.server.prctl import become_subreaper, hide_memory
from pytest_fargate_sandbox.server.requests.listener import Listener
from pytest_fargate_sandbox.server.requests.verbs import Verbs
from pytest_fargate_sandbox.server.work_dir import find_work_dir, lend_log

gc.enable()  # which was not to look through all that was just loaded

_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
_STOP_PATIENCE_SEC = 1.0
"""Less than the ``stopTimeout`` of the container: what has not ended by then is killed, and so are we."""

# https://wiki.musl-libc.org/functional-differences-from-glibc.html#Thread-stack-size
_STACK = 8 * 1024 * 1024
"""As glibc has it. With musl's 128 KiB, a deeply nested JSON would overflow it on Pythons that allow it."""


class _Stopped(BaseException):
    """SIGTERM, SIGINT, or SIGALRM when the time to live is over, raised in the main thread."""

    def __init__(self, number: int) -> None:
        BaseException.__init__(self, number)
        self.number = number


def main() -> int:
    """Serve until a signal ends it; the code to leave with."""
    missing = [name for name in (ENV_SERVER_PORT, ENV_TOKEN_SHA256) if not os.environ.get(name)]
    if missing:
        sys.stderr.write("fargate-sandbox: the environment lacks %s; no server without it\n" % " and ".join(missing))
        return 2
    threading.stack_size(_STACK)
    work_dir = find_work_dir()
    log = lend_log(work_dir) if work_dir else ""
    if log:
        os.environ[ENV_LOG] = log  # commands find it there
    commands = Commands(work_dir)
    is_hidden = hide_memory()
    if not is_hidden:
        sys.stderr.write("fargate-sandbox: what runs here can read and change this server: no ctypes, and not root\n")
    verbs = Verbs(commands, memory_hidden=is_hidden)
    for lesson in globals().get("KNOWN", ()):  # which `bundle` puts there
        verbs.know(lesson)
    listener = Listener(int(os.environ[ENV_SERVER_PORT]), os.environ[ENV_TOKEN_SHA256], verbs)
    become_subreaper()
    commands.reaper.start()
    alarm, alarm_writer = os.pipe()
    os.set_blocking(alarm_writer, False)
    signal.set_wakeup_fd(alarm_writer)
    try:
        for number in _ENDS:
            signal.signal(number, partial(_stop, os.getpid()))
        signal.alarm(int(os.environ.get(ENV_TTL, 0)))
        listener.serve(alarm)
    except _Stopped as stopped:
        if stopped.number == signal.SIGALRM:
            return EXIT_EXPIRED  # at once: a command that was killed must not look as if it had failed
        commands.stop_all(_STOP_PATIENCE_SEC)
        _leave(work_dir)
        return 128 + stopped.number


def _stop(server: int, number: int, _frame: object) -> None:
    if os.getpid() != server:  # a child that is not its program yet, and ends as that would
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    for each in _ENDS:
        signal.signal(each, signal.SIG_IGN)
    raise _Stopped(number)


def _leave(work_dir: "bytes | None") -> None:
    """The container dies with us; where we are not one, nothing of ours may stay."""
    if work_dir:
        import shutil

        shutil.rmtree(work_dir, ignore_errors=True)


if __name__ == "__main__":
    # Not sys.exit: threads that wait for their commands must not keep us.
    code = main()
    sys.stderr.flush()
    os._exit(code)

"""Where commands of tenants come from: ``birther`` bears them, in a process that is begun when the first is wanted."""

import array
import errno
import os
import select
import socket
import subprocess
import sys

from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
from pytest_fargate_sandbox.server.commands.spawning import BIRTHS, explained
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.slots.birther import ANSWER, FOR_CHILD, HEAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from pytest_fargate_sandbox.server.commands.reaper import Reaper
    from pytest_fargate_sandbox.server.commands.spawning import Program

_SOURCE = "pytest_fargate_sandbox.server.slots.birther"
_BIRTH_SEC = 30
"""So long a child may take to become its program; its tenant may have stopped it on the way."""


class Births:
    most = 8
    """Processes that each tenant may have at once."""

    def __init__(self) -> None:
        self._birther: "socket.socket | None" = None

    def spawn(self, program: "Program", mark: int, streams: "tuple[int, int, int]", reaper: "Reaper",
              on_exit: "Callable[[int], None]") -> ProcessTree:  # fmt: skip
        """As ``spawning.spawn`` does it for others."""
        assert program.user
        namespaces = program.user.namespaces()  # before it is our turn: a birth may be what they wait for
        told, tell = os.pipe()
        try:
            with BIRTHS:
                reaper.prepare()
                pid = self._bear(program, mark, [*streams, tell, *namespaces])
                reaper.expect(pid, on_exit)
            os.close(tell)
            tell = -1
            self._check(told, program, pid)
        finally:
            os.close(told)
            if tell >= 0:
                os.close(tell)
        return ProcessTree(pid, mark)

    def _bear(self, program: "Program", mark: int, files: "list[int]") -> int:
        user = program.user
        assert user
        variables = [b"%s=%s" % item for item in program.environment.items()]
        strings = b"\0".join([program.directory or b"/", *program.arguments, *variables])
        head = HEAD.pack(
            len(strings), len(program.arguments), len(variables), user.uid, mark, self.most, bool(program.before)
        )
        pid = self._ask(head + strings, files)
        if pid == -errno.ENOMEM and len(files) > FOR_CHILD:
            raise Failure("slot_gone", "the namespaces of this slot have ended with what held them: reset it")
        if pid < 0:
            raise Failure.of_os_error(OSError(-pid, os.strerror(-pid)))
        return pid

    def _ask(self, request: bytes, files: "list[int]") -> int:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        birther = self._birther = self._birther or _begin()
        try:
            sent = birther.sendmsg([request], rights)
        except OSError:  # it had ended before, for want of memory perhaps, and knows nothing of this
            birther = self._birther = _begin()
            sent = birther.sendmsg([request], rights)
        try:
            birther.sendall(request[sent:])
            answer = birther.recv(ANSWER.size, socket.MSG_WAITALL)
        except OSError:
            answer = b""
        if len(answer) < ANSWER.size:  # never asked again: the command may run, and nothing runs twice
            self._birther = None
            raise Failure("internal", "what begins the commands of slots has ended, and perhaps this one had begun")
        return int(ANSWER.unpack(answer)[0])

    def _check(self, told: int, program: "Program", pid: int) -> None:
        """Whether it became its program: then nothing is said, and the end comes when the kernel closes its files."""
        if not is_readable(told, _BIRTH_SEC):
            raise Failure("os_error", "process %d did not become its program within %d s" % (pid, _BIRTH_SEC))
        said = os.read(told, 100)
        if said:
            step, number = said.split()
            error = OSError(int(number), os.strerror(int(number)))
            error.filename = program.directory if step == b"cwd" else None
            raise explained(error, program)


def is_readable(file: int, patience: float) -> bool:
    """Within so many seconds. Not by ``select``, which knows no descriptor above 1023."""
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return bool(poller.poll(1000 * patience))


def _begin() -> socket.socket:
    """Run by the interpreter that runs us, however that is run."""
    ours, theirs = socket.socketpair()
    with open("/proc/self/cmdline", "rb") as file:
        words = file.read().split(b"\0")
    source = sys.modules["__main__"].__dict__["SOURCES"][_SOURCE]
    interpreter = words[: words.index(b"-c")]
    with theirs:
        command = [*interpreter, b"-c", source.encode("utf-8"), b"%d" % theirs.fileno()]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env={}, cwd=b"/", stdin=subprocess.DEVNULL)
    process.returncode = 0  # whose end the reaper waits for
    return ours

"""How a command becomes a process."""

import os
import subprocess
import sys
import threading

from pytest_fargate_sandbox.server.commands.command_user import CommandUser
from pytest_fargate_sandbox.server.commands.process_tree import Marks, ProcessTree
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import CODE_CANNOT_RUN, CODE_NOT_FOUND, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.commands.reaper import Reaper

SHELL = b"/bin/sh"
_LONGEST_ARGUMENT = 128 * 1024 - 1
"""The kernel's MAX_ARG_STRLEN, with the zero at its end: https://man7.org/linux/man-pages/man2/execve.2.html"""

BIRTHS = threading.Lock()
"""One at a time: what a child inherits of the server is set for the moment of its birth."""

_CAN_CHANGE_USER_IN_C = sys.version_info >= (3, 9)


class CannotRun(Exception):
    """There is no such program, or it is none: for a shell that is a result, so it is one here too."""

    def __init__(self, code: int, sentence: str) -> None:
        Exception.__init__(self, sentence)
        self.code = code
        self.sentence = sentence


class Program:
    """What to run: arguments, environment, directory and user."""

    def __init__(
        self,
        arguments: "list[bytes]",
        environment: "dict[bytes, bytes]",
        directory: "bytes | None",
        user: "CommandUser | None",
    ) -> None:
        self.before: "Callable[[], None] | None" = None
        """Called in the child, as the last thing before it becomes the program."""
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.user = user


def arguments_of(command: "str | list[str]", script: "Callable[[bytes], bytes]") -> "list[bytes]":
    """The argument vector. A line that is too long for one argument goes by file: ``script`` writes it."""
    if not isinstance(command, str):
        return [encoded(argument) for argument in command]
    if not os.access(SHELL, os.X_OK):
        raise Failure("not_found", "this container has no /bin/sh: give the command as a list", path="/bin/sh")
    line = encoded(command)
    if len(line) > _LONGEST_ARGUMENT:
        return [SHELL, script(line)]
    return [SHELL, b"-c", line]


def spawn(
    program: Program,
    streams: "tuple[int, int, int]",
    marks: Marks,
    reaper: "Reaper",
    on_exit: "Callable[[int], None]",
) -> ProcessTree:
    """Start it in a session of its own; ``on_exit`` is told how it ended."""
    if program.user and program.user.births:
        tree: ProcessTree = program.user.births.spawn(program, marks.choose(), streams, reaper, on_exit)
        return tree
    options: "dict[str, Any]" = {}
    if program.user and not program.user.is_ours:
        options = _as_somebody_else(program.user, program.before)
    elif program.before:
        options = {"preexec_fn": program.before}
    stdin, stdout, stderr = streams
    with BIRTHS:
        reaper.prepare()
        mark = marks.choose()
        marks.put_on_next_child(mark)
        try:
            process = subprocess.Popen(
                program.arguments,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=program.directory,
                env=program.environment,
                start_new_session=True,
                **options,
            )
        except OSError as error:
            raise explained(error, program) from None
        except subprocess.SubprocessError as error:
            raise Failure("permission", "cannot run a command as another user here: %s" % error) from None
        finally:
            marks.put_on_nobody()
        # https://github.com/python/cpython/blob/v3.11.7/Lib/subprocess.py#L1120
        process.returncode = 0  # Or its destructor would wait for it, and take the status from the reaper.
        reaper.expect(process.pid, on_exit)
    return ProcessTree(process.pid, mark)


def _as_somebody_else(user: CommandUser, before: "Callable[[], None] | None") -> "dict[str, Any]":
    if _CAN_CHANGE_USER_IN_C:
        return {"user": user.uid, "group": user.gid, "extra_groups": user.groups, "preexec_fn": before}

    def become() -> None:
        if before:
            before()
        user.become()

    return {"preexec_fn": become}


def explained(error: OSError, program: Program) -> Exception:
    """Why a command did not become its program."""
    import errno

    named = program.arguments[0].decode("utf-8", "replace")
    if program.directory is not None and error.filename == program.directory:
        return Failure.of_os_error(error, program.directory.decode("utf-8", "surrogateescape"))
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return CannotRun(CODE_NOT_FOUND, "%s: not found" % named)
    if error.errno in (errno.EACCES, errno.ENOEXEC, errno.EISDIR, errno.ELOOP):
        return CannotRun(CODE_CANNOT_RUN, "%s: %s" % (named, error.strerror))
    if error.errno == errno.EAGAIN:  # https://man7.org/linux/man-pages/man2/fork.2.html
        return Failure("too_many", "no process is left for another command")
    if error.errno == errno.EPERM and program.user:
        return Failure("permission", "cannot run a command as another user here: %s" % error.strerror, error.errno)
    if error.errno == errno.E2BIG:
        return Failure("too_large", "the arguments and the environment are larger than the kernel takes", error.errno)
    return Failure.of_os_error(error, named)

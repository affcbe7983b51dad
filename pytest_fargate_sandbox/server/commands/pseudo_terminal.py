"""A terminal for a command, in place of pipes, and a pipe beside it on which its shell tells where it stands.

That pipe has a name, so that no child inherits it: whoever writes to it opens it, says a line, and is gone.
"""

import fcntl
import os
import struct
import sys
import termios

from pytest_fargate_sandbox.server.protocol import STDERR, STDOUT
from pytest_fargate_sandbox.server.terminal_protocol import TerminalState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from pytest_fargate_sandbox.server.commands.command_user import CommandUser

_LONGEST_NAME = 200


class PseudoTerminal:
    """What is written to ``stdin`` was typed; what is read from the kernel's end of it stands on the screen."""

    def __init__(self, columns: int, rows: int, user: "CommandUser | None", notes: "bytes | None") -> None:
        """``notes`` is where that pipe is made, if there is a place for it."""
        self.notes = notes
        self._size = columns, rows
        self._owner = user.uid if user and not user.is_ours else os.geteuid()
        self._ours: "list[int]" = []
        self._slave = -1
        self._name = ""
        self.stdin = -1

    def open(self) -> None:
        master, self._slave = os.openpty()
        self._name = os.ttyname(self._slave)
        self._ours.append(master)
        os.set_blocking(master, False)
        os.fchown(self._slave, self._owner, -1)
        if self.notes:
            os.mkfifo(self.notes, 0o600)
            os.chown(self.notes, self._owner, -1)
            # With a writer of our own, so that it has no end between two lines.
            self._ours.append(os.open(self.notes, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        self.stdin = os.dup(master)
        self.resize(*self._size)

    @property
    def for_child(self) -> "tuple[int, int, int]":
        return self._slave, self._slave, self._slave

    @property
    def outputs(self) -> "dict[int, bytes]":
        return dict(zip(self._ours, (STDOUT, STDERR)))

    @staticmethod
    def before() -> None:
        """In the child, which has a session of its own by now: its stdin becomes the terminal of that session."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    # --- while the command's intake is open -----------------------------------------------------------------
    def resize(self, columns: int, rows: int) -> None:
        """The kernel tells the programs in the foreground."""
        fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def foreground(self) -> int:
        """The process group that reads what is typed."""
        return os.tcgetpgrp(self.stdin)

    def signal(self, number: int, only: int) -> None:
        """To that process group, or to ``only`` it: not to who has taken the terminal from it meanwhile."""
        group = self.foreground()
        if group and only in (0, group):  # 0 is nobody, and would be this process's own group
            try:
                os.killpg(group, number)
            except ProcessLookupError:  # it has ended, and nobody has taken the terminal back yet
                pass

    def state(self) -> TerminalState:
        flags = termios.tcgetattr(self.stdin)[3]
        group = self.foreground()
        by_lines, echoes = bool(flags & termios.ICANON), bool(flags & termios.ECHO)
        name, unread = _name_of(group), self._unread()
        return TerminalState(foreground=group, program=name, by_lines=by_lines, echoes=echoes, unread=unread)

    def _unread(self) -> int:
        """Only the program's end of it tells."""
        try:
            slave = os.open(self._name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            return int.from_bytes(fcntl.ioctl(slave, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)
        finally:
            os.close(slave)

    def close_theirs(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def close_ours(self) -> None:
        """But the one for stdin, which is the command's intake once all are open."""
        for file in self._ours:
            os.close(file)


def _name_of(group: int) -> str:
    """What it was started as; nothing if nobody lives in it."""
    return _command_line(group) or next(filter(None, map(_command_line, _members(group))), "")


def _members(group: int) -> "Iterator[int]":
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for pid in map(int, filter(str.isdigit, names)):
        if _group_of(pid) == group:
            yield pid


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def _command_line(pid: int) -> str:
    try:
        with open("/proc/%d/cmdline" % pid, "rb", buffering=0) as file:
            words = file.read(_LONGEST_NAME).replace(b"\0", b" ").strip()
    except OSError:
        return ""
    return words.decode("utf-8", "replace")

"""The processes of one command, wherever they went.

A process belongs to a command if it is in the session that the command began, if its parent belongs to it, or if it
was left to us (we are PID 1 or a "subreaper") and carries the command's *mark*: its ``oom_score_adj``. That number is
inherited by every descendant, survives ``setsid``, double forks and a change of user, and anybody may read it, while
even root may not read the environment of another user's process without SYS_PTRACE, which Fargate adds on request only.
It is raised for commands anyway, so that the kernel, out of memory, takes a command and not the server.
"""

import os
import signal
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

# Inherited: https://github.com/torvalds/linux/blob/v4.14/kernel/fork.c (copy_signal). On request:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html
_SCORE = b"/proc/self/oom_score_adj"
_LOWEST_RAISE = 200
_HIGHEST = 1000
_ROUNDS = 4
"""After so many in which some were left, it is a crowd that forks as fast as it dies."""

_PAUSES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


class Marks:
    """Hands out the marks in turn, and lets a child be born with one."""

    def __init__(self) -> None:
        self._file: "int | None" = None
        self._own = 0
        try:
            self._file = os.open(_SCORE, os.O_RDWR | os.O_CLOEXEC)
            self._own = int(os.read(self._file, 16))
        except (OSError, ValueError):
            self._file = None
        self._first = min(max(self._own, 0) + _LOWEST_RAISE, _HIGHEST)
        self._next = self._first

    def choose(self) -> int:
        mark = self._next
        self._next = mark + 1 if mark < _HIGHEST else self._first
        return mark

    def put_on_next_child(self, mark: int) -> None:
        self._write(mark)

    def put_on_nobody(self) -> None:
        self._write(self._own)

    def _write(self, value: int) -> None:
        if self._file is None:
            return
        try:
            os.pwrite(self._file, b"%d" % value, 0)
        except OSError:  # A kernel that forbids it: commands then score as the server does, and daemons get away.
            self._file = None


class _Process:
    def __init__(self, pid: int, parent: int, session: int) -> None:
        self.pid = pid
        self.parent = parent
        self.session = session


class AllProcesses:
    """All living processes of all commands."""

    def _roots(self, processes: "list[_Process]") -> "set[int]":
        server = os.getpid()
        return {process.pid for process in processes if process.parent == server}

    def members(self) -> "list[int]":
        processes = _looks.take()
        found = self._roots(processes)
        children: "dict[int, list[int]]" = {}
        for process in processes:
            children.setdefault(process.parent, []).append(process.pid)
        pending = list(found)
        while pending:
            for child in children.get(pending.pop(), ()):
                if child not in found:
                    found.add(child)
                    pending.append(child)
        return sorted(found)

    def send(self, number: int) -> "list[int]":
        """Signal all of them; whom it was sent to."""
        members = self.members()
        for pid in members:
            _kill(pid, number)
        return members

    def ask_to_end(self) -> None:
        """TERM, and CONT for those that stand still."""
        for pid in self.send(signal.SIGTERM):
            _kill(pid, signal.SIGCONT)

    def kill(self, patience: float = 5.0) -> None:
        """KILL until none is left, since a process may fork while we look."""
        end = time.monotonic() + patience
        rounds = 0
        while self.send(signal.SIGKILL):
            if time.monotonic() > end:
                return
            time.sleep(_PAUSES[min(rounds, len(_PAUSES) - 1)])
            rounds += 1
            if rounds >= _ROUNDS:
                self._halt(end)

    def _halt(self, end: float) -> None:
        """Who stands still does not fork: each that is killed while the others run makes room for another of theirs."""
        halted: "set[int]" = set()
        while time.monotonic() < end:
            running = set(self.members()) - halted
            if not running:
                return
            for pid in running:
                _kill(pid, signal.SIGSTOP)
            halted |= running


class ProcessTree(AllProcesses):
    """All living processes of the command whose first process was ``leader``."""

    def __init__(self, leader: int, mark: int) -> None:
        self.leader = leader
        self.mark = mark
        self.leader_is_gone = False

    def _roots(self, processes: "list[_Process]") -> "set[int]":
        return Forest([self])._roots(processes)

    def send(self, number: int) -> "list[int]":
        members = AllProcesses.send(self, number)
        if not members and not self.leader_is_gone:
            try:
                os.killpg(self.leader, number)
            except OSError:
                pass
        return members


class Forest(AllProcesses):
    """All living processes of some commands. However many those are, the machine's are looked through once."""

    def __init__(self, trees: "list[ProcessTree]") -> None:
        self._trees = trees

    def _roots(self, processes: "list[_Process]") -> "set[int]":
        leaders, marks = self._leaders(processes), {tree.mark for tree in self._trees}
        return {process.pid for process in processes if process.session in leaders or _mark_of_orphan(process) in marks}

    def living(self) -> "list[ProcessTree]":
        """Those of which something may live, or come to."""
        processes = _looks.take()
        leaders = self._leaders(processes)
        sessions = {process.session for process in processes}.intersection(leaders)
        marks = set(map(_mark_of_orphan, processes))
        return [
            tree for tree in self._trees if not tree.leader_is_gone or tree.leader in sessions or tree.mark in marks
        ]

    def _leaders(self, processes: "list[_Process]") -> "set[int]":
        """A process that has a dead leader's number is a stranger, and so is its session."""
        numbers = {process.pid for process in processes}
        return {tree.leader for tree in self._trees if not (tree.leader_is_gone and tree.leader in numbers)}


class _Looks:
    """One look at all processes serves all who asked for one before it began: a hundred trees may end together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._asked = 0
        self._served = 0
        self._seen: "list[_Process]" = []

    def take(self) -> "list[_Process]":
        with self._counting:
            self._asked += 1
            number = self._asked
        with self._lock:
            if self._served < number:
                served = self._asked
                self._seen = list(_running())
                self._served = served
            return self._seen


_looks = _Looks()


def _running() -> "Iterable[_Process]":
    try:
        names = os.listdir("/proc")
    except OSError:  # Not mounted. What is left is the process group, see ProcessTree.send.
        return
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb", buffering=0) as file:
                text = file.read(1024)
        except OSError:
            continue
        # The name of the program stands in parentheses and may hold anything, parentheses too.
        fields = text[text.rfind(b")") + 2 :].split()
        if len(fields) > 3 and fields[0] not in b"ZX":
            yield _Process(int(name), int(fields[1]), int(fields[3]))


def _mark_of_orphan(process: _Process) -> "int | None":
    """Of one that was left to us; our own children are among these."""
    if process.parent != os.getpid():
        return None
    try:
        with open("/proc/%d/oom_score_adj" % process.pid, "rb", buffering=0) as file:
            return int(file.read(16))
    except (OSError, ValueError):
        return None


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass

"""One command: what it has said, how it stands, how it ended. It outlives the connection that asked for it."""

import os
import threading
import time

from pytest_fargate_sandbox.server.commands.intake import Intake
from pytest_fargate_sandbox.server.commands.kept_output import KeptOutput
from pytest_fargate_sandbox.server.commands.output_window import OutputWindow
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import CODE_SIGNAL, CODE_TIMED_OUT, STDERR, STDOUT, Result, decoded
from pytest_fargate_sandbox.server.work_dir import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.commands.command_user import CommandUser
    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
    from pytest_fargate_sandbox.server.commands.pseudo_terminal import PseudoTerminal
    from pytest_fargate_sandbox.server.commands.waker import Waker


class Command:
    """Everything in it is guarded by ``changed``, which is notified of news."""

    def __init__(self, command_id: str, spool_dir: "bytes | None", user: "CommandUser | None") -> None:
        self.id = command_id
        self.user = user
        self.changed = threading.Condition()
        owner = (user.uid, user.gid) if user and not user.is_ours else None
        names = {STDOUT: b"stdout", STDERR: b"stderr"}
        self.outputs: "dict[bytes, KeptOutput | OutputWindow]" = {
            kind: KeptOutput(spool_dir and os.path.join(spool_dir, b"%s.%s" % (command_id.encode(), name)), owner)
            for kind, name in names.items()
        }
        self.tree: "ProcessTree | None" = None
        self.script: "bytes | None" = None
        self.intake = Intake(command_id, self.changed)
        self.failure: "Failure | None" = None
        self.return_code: "int | None" = None
        self.timed_out = False
        self.oom_killed = False
        self.could_not_begin = False
        self.ended = False
        self.oom_before = 0
        self.oom_kills = 0
        self.memory_limit = 0
        self.started_at = time.monotonic()
        self.ended_at = 0.0
        self.is_dropped = False
        self.listener: "object | None" = None
        self.waker: "Waker | None" = None
        self.terminal: "PseudoTerminal | None" = None
        self.used_at = self.started_at
        """When its terminal was last typed on, or said something."""

    def put_on(self, terminal: "PseudoTerminal") -> None:
        """It has a terminal in place of pipes."""
        self.terminal = terminal
        self.outputs = {kind: OutputWindow() for kind in self.outputs}

    def bear(self, tree: "ProcessTree") -> None:
        with self.changed:
            self.tree = tree
            self.changed.notify_all()

    def pid(self) -> int:
        """That of its first process, once it is born; 0 if there was no such program."""
        with self.changed:
            while not self.tree and not self.ended:
                self.changed.wait()
            if self.failure:
                raise self.failure
            return self.tree.leader if self.tree else 0

    # --- while it runs ------------------------------------------------------------------------------------------
    def say(self, kind: bytes, data: bytes) -> None:
        with self.changed:
            if not self.is_dropped:  # else a file of it would stay
                self.outputs[kind].append(data)
            self.used_at = time.monotonic()
            self.changed.notify_all()

    @property
    def is_full(self) -> bool:
        """It has said so much that nobody fetched that it had better wait."""
        return any(output.is_full for output in self.outputs.values())

    def acknowledge(self, offsets: "dict[bytes, int]") -> None:
        """The client has its output before these."""
        with self.changed:
            was_full = self.is_full
            for kind, offset in offsets.items():
                self.outputs[kind].acknowledge(offset)
            if was_full and self.waker:
                self.waker.wake()

    def end(self, return_code: "int | None") -> None:
        with self.changed:
            self.return_code = CODE_TIMED_OUT if self.timed_out else return_code
            self.ended = True
            self.ended_at = time.monotonic()
            self.waker = None
            self.intake.close()
            self.changed.notify_all()
        for path in (self.script, self.terminal and self.terminal.notes):
            if path:
                remove(path)

    def fail(self, failure: Failure) -> None:
        """It could not even begin."""
        with self.changed:
            self.failure = failure
        self.end(None)

    def listen(self, listener: object) -> None:
        """From now on this listener has the command's ear; an earlier one is as good as gone."""
        with self.changed:
            self.listener = listener
            if self.waker:
                self.waker.wake()

    # --- for those who ask --------------------------------------------------------------------------------------
    def result(self, limit: "int | None" = None) -> Result:
        """How it stands now. What a limit keeps from the client lies in a file that the result names."""
        with self.changed:
            spools = {kind: self._spool(output, limit) for kind, output in self.outputs.items()}
            return Result(
                running=not self.ended,
                return_code=self.return_code,
                timed_out=self.timed_out,
                oom_killed=self.oom_killed,
                oom_kills=self.oom_kills,
                memory_limit=self.memory_limit,
                could_not_begin=self.could_not_begin,
                duration=(self.ended_at if self.ended else time.monotonic()) - self.started_at,
                stdout_total=self.outputs[STDOUT].total,
                stderr_total=self.outputs[STDERR].total,
                stdout_spool=spools[STDOUT],
                stderr_spool=spools[STDERR],
            )

    def _spool(self, output: "KeptOutput | OutputWindow", limit: "int | None") -> "str | None":
        if not self.ended or limit is None or output.total <= limit or not output.spill():
            return None
        output.is_named = True
        return decoded(output.path or b"")

    @property
    def kept(self) -> int:
        return sum(output.held for output in self.outputs.values())

    def rest(self) -> bool:
        """Take no more memory than need be, and no descriptor. Whether that could be had."""
        with self.changed:
            at_rest = [output.rest() for output in self.outputs.values()]
            return all(at_rest)

    def drop(self) -> None:
        with self.changed:
            self.is_dropped = True
            for output in self.outputs.values():
                output.drop()


def code_of(status: int) -> int:
    """A wait status as a shell says it."""
    if os.WIFSIGNALED(status):
        return CODE_SIGNAL + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)

"""A command as it is remembered: when it ran, how it ended, and the ends of what it said."""

from __future__ import annotations

import shlex
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves import tracing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult

_REMEMBERED_COMMANDS = 200
_REMEMBERED = 2000
"""Characters of each stream, and of the command."""
_WHY = 100
_TRACED = 200
"""Characters of a command in a trace, which goes who knows where."""


@dataclass(frozen=True)
class PastCommand:
    """``return_code`` is None where nobody saw its end: ``state`` says why."""

    command: str
    began: float
    """In seconds since the epoch."""
    duration_sec: float
    return_code: int | None
    state: str
    """In words: ``exit 3``, ``timed out``, ``cut short by SandboxLost: …``, ``in the background``."""
    stdout: str = ""
    stderr: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the output."""
        return {
            "command": self.command,
            "began": round(self.began, 3),
            "duration_sec": round(self.duration_sec, 3),
            "return_code": self.return_code,
            "state": self.state,
        }


class RunningCommand:
    """What will be remembered of a command that has just been started."""

    def __init__(self, command: str | Sequence[str]) -> None:
        self._command = command
        self._began = time.time()
        self._since = time.monotonic()
        self._heard = ("", "")
        self._span = tracing.begin("command", process__command_line=_traced(command)) if tracing.is_on() else None
        self.was_cut = False
        """Whether it was begun and given up; else what failed was no command yet."""

    def environment(self, env: Mapping[str, str | None] | None) -> Mapping[str, str | None] | None:
        """``env``, with what says where the command stands in a trace, if there is one."""
        traced = tracing.environment(self._span) if self._span else {}
        return {**traced, **(env or {})} if traced and isinstance(env or {}, Mapping) else env

    def hear(self, stdout: str, stderr: str) -> None:
        """It is given up, and this has come of its output."""
        self._heard = (stdout, stderr)
        self.was_cut = True

    def ended(self, result: ExecResult) -> PastCommand:
        state = "timed out" if result.timed_out else f"exit {result.return_code}"
        if result.of_memory:
            state += f", {result.of_memory}"
        return self._past(result.return_code, state, result.stdout, result.stderr, result.duration_sec)

    def cut_by(self, error: BaseException) -> PastCommand:
        why = str(error).partition("\n")[0][:_WHY]
        return self._past(None, f"cut short by {type(error).__name__}{why and f': {why}'}", *self._heard)

    def left_running(self) -> PastCommand:
        return self._past(None, "in the background")

    def _past(
        self, return_code: int | None, state: str, stdout: str = "", stderr: str = "", took: float | None = None
    ) -> PastCommand:
        span, self._span = self._span, None
        if span:
            span.set_attribute("fargate.state", state)
            if return_code is not None:
                span.set_attribute("process.exit.code", return_code)
            span.end()
        return PastCommand(
            command=_one_line(self._command)[:_REMEMBERED],
            began=self._began,
            duration_sec=time.monotonic() - self._since if took is None else took,
            return_code=return_code,
            state=state,
            stdout=stdout[-_REMEMBERED:],
            stderr=stderr[-_REMEMBERED:],
        )


class History(deque[PastCommand]):
    """The last commands, in the order in which they began to be remembered."""

    def __init__(self) -> None:
        super().__init__(maxlen=_REMEMBERED_COMMANDS)
        self._lock = threading.Lock()

    def append(self, past: PastCommand) -> None:
        with self._lock:
            super().append(past)

    def replace(self, past: PastCommand, now: PastCommand) -> None:
        """Where it stands, if it is still remembered."""
        with self._lock:
            for index in range(len(self)):
                if self[index] is past:
                    self[index] = now


class BackgroundCommand:
    """What is remembered of a command that was spawned: that it runs, and its end once somebody has seen it."""

    def __init__(self, running: RunningCommand, history: History) -> None:
        self._running = running
        self._history = history
        self._lock = threading.Lock()
        self._past: PastCommand | None = None
        self._is_remembered = False

    def begun(self) -> None:
        """There is a handle on it; whoever follows its output may have seen its end before."""
        with self._lock:
            self._past = self._past or self._running.left_running()
            self._history.append(self._past)
            self._is_remembered = True

    def ended(self, result: ExecResult) -> None:
        with self._lock:
            before, self._past = self._past, self._running.ended(result)
            if before is not None and self._is_remembered:
                self._history.replace(before, self._past)


def _one_line(command: str | Sequence[str]) -> str:
    return command if isinstance(command, str) else shlex.join(map(str, command))


def _traced(command: Any) -> str:
    """Before anybody has checked that it is one."""
    words = command if isinstance(command, (list, tuple)) else [command]
    return " ".join(map(str, words))[:_TRACED]

"""The process of a local engine: whether it lives, whether it hangs, and the end of one that does.

An engine holds ``engine.lock`` of its directory until its process ends, and says in it which process that is: that it
lives is the kernel's word, and no socket's. It hangs when it lives and does not answer.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import select
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.lock_at_once import taken_at_once
from pytest_fargate_sandbox.leaves.names import ENGINE_PULSE_PATH
from pytest_fargate_sandbox.leaves.process_identity import is_busy, is_stopped, kill
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

_SLICE_SEC = 0.25
_STOPPED_SEC = 2.0
"""A process that is stopped (by a debugger, by job control) may be continued in a moment."""
ASLEEP_SEC = 10.0
"""How long one may be silent whose threads all sleep. Counted, not timed: what pauses both of us is no hang."""
BUSY_SEC = 60.0
"""How long one that would answer if it had a processor, or its memory, for itself."""
_DEATH_SEC = 5.0


class Pulse(enum.Enum):
    """What an engine says when it is asked for nothing."""

    ANSWERS = enum.auto()
    REFUSES = enum.auto()
    """It takes no connection: it has not begun to, or is about to end."""
    BUSY = enum.auto()
    """It has not answered yet, and does something, or would."""
    SILENT = enum.auto()
    """It hangs."""


@dataclass(frozen=True)
class EngineProcess:
    """The one that holds the lock of ``directory``; ``facts`` are what it said of itself."""

    directory: Path
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, directory: Path) -> EngineProcess | None:
        """None where no engine lives, neither one that serves nor one that starts or ends."""
        try:
            descriptor = os.open(directory / "engine.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if taken_at_once(descriptor, fcntl.LOCK_SH):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked just now has it as well
                return None
            told = os.read(descriptor, 4096)
            return cls(directory, json.loads(told) if told else {})
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        return int(self.facts.get("pid", 0))

    @property
    def name(self) -> str:
        return f"the local engine of {self.directory} (process {self.pid})"

    def stays_stopped(self) -> bool:
        """Whether it is stopped, and is not continued in a moment."""
        try:
            wait_until(lambda: None if is_stopped(self.pid) else True, deadline=_STOPPED_SEC, what="SIGCONT")
        except WaitTimeout:
            return True
        return False

    def pulse(self, endpoint_url: str, longest: float) -> Pulse:
        """Ask it, and wait until it is clear that no answer will come; of one that is busy, so long at most."""
        parts = urlsplit(endpoint_url)
        try:
            with socket.create_connection((str(parts.hostname), parts.port or 80), longest) as line:
                line.sendall(f"GET {ENGINE_PULSE_PATH} HTTP/1.0\r\n\r\n".encode())
                return self._listen(line, longest)
        except TimeoutError:
            return Pulse.SILENT
        except OSError:
            return Pulse.REFUSES

    def _listen(self, line: socket.socket, longest: float) -> Pulse:
        ears = select.poll()
        ears.register(line, select.POLLIN)
        waited = asleep = stopped = 0.0
        while waited < longest:
            if ears.poll(_SLICE_SEC * 1000):
                return Pulse.ANSWERS if line.recv(1) else Pulse.REFUSES
            waited += _SLICE_SEC
            asleep += 0.0 if is_busy(self.pid) else _SLICE_SEC
            stopped = stopped + _SLICE_SEC if is_stopped(self.pid) else 0.0
            if asleep >= ASLEEP_SEC or stopped >= _STOPPED_SEC:
                return Pulse.SILENT
        return Pulse.SILENT if longest >= BUSY_SEC else Pulse.BUSY

    def end(self) -> None:
        """Kill it, and return when it is gone: then another may take its directory. Raises ``StartError``."""
        try:
            if os.geteuid() == 0 and _user_of(self.pid) not in (None, 0):  # nobody else needs to be told
                raise PermissionError
            seen = kill(self.facts)  # not, too, where somebody else has killed it and its threads are ending still
            wait_until(lambda: self._is_gone() or None, deadline=_DEATH_SEC, what="its end")
        except PermissionError:
            raise self._cannot_end("it is another user's") from None
        except WaitTimeout:
            why = "the kernel does not let go of it" if seen else "its process is not to be seen from here"
            raise self._cannot_end(why) from None
        with contextlib.suppress(ChildProcessError):  # if we have started it, nobody else asks how it ended
            os.waitpid(self.pid, os.WNOHANG)

    def await_end(self) -> None:
        """Of one that is ending: for a moment."""
        with contextlib.suppress(WaitTimeout):
            wait_until(lambda: self._is_gone() or None, deadline=_DEATH_SEC, what="its end")

    def _is_gone(self) -> bool:
        found = EngineProcess.of(self.directory)
        return found is None or found.facts != self.facts

    def _cannot_end(self, why: str) -> StartError:
        return StartError(
            f"{self.name} does not answer, and cannot be ended: {why}; end it, or set FARGATE_ENGINE_DIR to another "
            "directory",
            phase="engine",
            reason=why,
        )


def _user_of(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return int(next(line.split()[1] for line in lines if line.startswith("Uid:")))

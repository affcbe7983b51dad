"""What a command gives back, and what a sandbox may reach outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_fargate_sandbox.leaves.errors import ExecFailed, ExecTimeout

_TAIL_CHARACTERS = 2000
_COMMAND_CHARACTERS = 300
_MIB = 1 << 20


@dataclass(frozen=True)
class ExecResult:
    """How a command ended. A non-zero ``return_code`` is a result, not an error; ``check()`` makes it one.

    ``stdout`` and ``stderr`` are UTF-8 with replacement; the exact bytes are in ``stdout_bytes`` and ``stderr_bytes``.
    A command killed by a signal has the shell's code for it, 128 + its number; one that ran out of time has 124.
    """

    stdout: str
    stderr: str
    return_code: int
    timed_out: bool = False
    truncated: bool = False
    duration_sec: float = 0.0
    stdout_bytes: bytes = field(default=b"", repr=False)
    stderr_bytes: bytes = field(default=b"", repr=False)
    oom_killed: bool = False
    stdout_spool: str | None = None
    """Where the whole of a truncated stdout lies in the sandbox."""
    stderr_spool: str | None = None
    command: str = field(default="", repr=False)
    could_not_begin: bool = False
    """There is no such program, or it is none: then 127 and 126 are no word of the program's."""
    oom_kills: int = 0
    """How many processes of its container the kernel killed for memory while it ran, whatever its own end."""
    memory_limit_bytes: int | None = None
    """How much memory there is, where some ran out and the container sees its limit."""

    @property
    def ok(self) -> bool:
        return self.return_code == 0

    @property
    def of_memory(self) -> str:
        """In words, that memory ran out while it ran; nothing, if it did not."""
        limit = f" (of {self.memory_limit_bytes / _MIB:.0f} MiB)" if self.memory_limit_bytes else ""
        if self.oom_killed:
            return f"killed for memory{limit}"
        if not self.oom_kills:
            return ""
        processes = "a process" if self.oom_kills == 1 else f"{self.oom_kills} processes"
        return f"memory ran out{limit}, and the kernel killed {processes} of the container"

    def check(self) -> ExecResult:
        """Return self if the command succeeded, else raise ``ExecTimeout`` or ``ExecFailed``."""
        if self.ok:
            return self
        tails = {name: text[-_TAIL_CHARACTERS:] for name, text in (("stdout", self.stdout), ("stderr", self.stderr))}
        lines = [f"command {self._what_happened()}: {_shortened(self.command)}"]
        lines += [f"--- {name} (end) ---\n{text.rstrip()}" for name, text in tails.items() if text]
        raise (ExecTimeout if self.timed_out else ExecFailed)(
            "\n".join(lines),
            command=self.command,
            return_code=self.return_code,
            timed_out=self.timed_out,
            duration_sec=self.duration_sec,
            oom_killed=self.oom_killed,
            oom_kills=self.oom_kills,
            **tails,
        )

    def _what_happened(self) -> str:
        if self.could_not_begin:
            return f"could not begin ({self.return_code})"
        end = f"ran out of time after {self.duration_sec:.1f} s" if self.timed_out else f"returned {self.return_code}"
        return f"{end}, {self.of_memory}" if self.of_memory else end


def _shortened(command: str) -> str:
    if len(command) <= _COMMAND_CHARACTERS:
        return command
    return f"{command[:_COMMAND_CHARACTERS]}… ({len(command)} characters)"


class Endpoint(NamedTuple):
    """Where something of the sandbox's is reached from here: ``socket.create_connection`` takes it as it is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class OutsideEndpoint:
    """A service on our side that processes in the sandbox must reach.

    ``env_var`` is set, in the sandbox, to the URL that works there: with the same name where a certificate is checked
    against it (``https``, ``wss``), else with 127.0.0.1.
    """

    url: str
    env_var: str

"""A session of ECS Exec: one program at a pseudo-terminal, as root, without a shell around it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import struct
import termios
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_fargate_sandbox.leaves.session_message import Flag, PayloadType
from pytest_fargate_sandbox.local.runners.namespaces.descriptors import close_inherited
from pytest_fargate_sandbox.local.runners.namespaces.event_loop import READABLE, WRITABLE
from pytest_fargate_sandbox.local.ssm.agent.agent_channel import AgentChannel
from pytest_fargate_sandbox.local.ssm.agent.paced_output import LARGEST_PAYLOAD, PacedOutput

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop

_BEFORE_READING_SEC = 1.0
_LAST_WORDS_SEC = 0.02
_MOST_COLUMNS = 0xFFFF
_ADDED = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}


class InteractiveCommand:
    """Ends by ``end``, with the text that the client shall read, when the program and its output have ended."""

    def __init__(
        self, loop: Loop, dial: Callable[[], socket.socket | None], request: dict[str, Any], end: Callable[[str], None]
    ) -> None:
        self._loop, self._end = loop, end
        self._terminal, self._pid = -1, 0
        self._typed: deque[bytes] = deque()
        self._events = 0
        self._reads = False
        self._has_exited = self._is_over = False
        self._channel = AgentChannel(loop, dial, self._take, self._resume, lambda: end(""))
        self._output = PacedOutput(loop, self._channel, self._next_output)
        try:
            self._start(shlex.split(request["properties"]["command"]))
        except (OSError, ValueError) as error:
            words = f"Unable to start command: {error}"
            loop.call_later(0, lambda: end(words))  # what is being made cannot end yet

    def _start(self, argv: list[str]) -> None:
        if not argv:
            raise ValueError("there is none")
        terminal, far_end = os.openpty()
        failure, failure_in_child = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            _execute(argv, far_end, failure_in_child)
        os.close(far_end)
        os.close(failure_in_child)
        with os.fdopen(failure, "rb") as told:
            words = told.read()
        if words:
            raise OSError(words.decode(errors="replace"))
        os.set_blocking(terminal, False)
        self._terminal = terminal
        self._handle = os.pidfd_open(self._pid)
        self._loop.watch(self._handle, self._exited)
        self._loop.call_later(_BEFORE_READING_SEC, self._begin_to_read)

    def _exited(self) -> None:
        """What it has said is still to be read; what it left in the background says nothing more."""
        self._loop.forget(self._handle)
        os.waitpid(self._pid, 0)
        self._has_exited = True
        if self._reads:
            self._output.look()

    def _begin_to_read(self) -> None:
        self._reads = True
        self._watch()

    # --- the client's ------------------------------------------------------------------------------------------------

    def _take(self, payload_type: int, payload: bytes) -> bool:
        if self._terminal < 0:
            return False
        if payload_type == PayloadType.DATA:
            self._typed.append(payload)
            self._write()
        elif payload_type == PayloadType.SIZE:
            self._resize(payload)
        elif payload_type == PayloadType.FLAG and int.from_bytes(payload[:4], "big") == Flag.TERMINATE_SESSION:
            self._loop.call_later(_LAST_WORDS_SEC, lambda: self._end(""))
        return True

    def _resize(self, payload: bytes) -> None:
        try:
            size = json.loads(payload)
            sides = [max(0, min(_MOST_COLUMNS, int(size[side]))) for side in ("rows", "cols")]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *sides, 0, 0))

    def _write(self) -> None:
        while self._typed:
            data = self._typed[0]
            try:
                written = os.write(self._terminal, data)
            except BlockingIOError:  # nobody reads: then nothing of this session passes
                self._channel.stop_reading()
                break
            except OSError:
                self._typed.clear()
                break
            if written == len(data):
                self._typed.popleft()
            else:
                self._typed[0] = data[written:]
        if not self._typed:
            self._channel.go_on_reading()
        self._watch()

    # --- the program's -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        events = 0 if self._is_over else (READABLE * self._reads) | (WRITABLE * bool(self._typed))
        if events == self._events:
            return
        if self._events:
            self._loop.forget(self._terminal)
        if events:
            self._loop.watch(self._terminal, self._ready, events)
        self._events = events

    def _ready(self) -> None:
        if self._typed:
            self._write()
        if self._reads:
            self._reads = False
            self._watch()
            self._output.look()

    def _resume(self) -> None:
        self._output.look()

    def _next_output(self) -> bytes:
        """Also when nothing is known to be there: after each message it is asked for the next."""
        if self._is_over or self._terminal < 0:
            return b""
        try:
            data = os.read(self._terminal, LARGEST_PAYLOAD)
        except BlockingIOError:
            data = b""
            if not self._has_exited:
                self._begin_to_read()
                return data
        except OSError:  # EIO: nobody holds the other end any more
            data = b""
        if not data:
            self._is_over = True
            self._watch()
            self._channel.tell_end()
            self._end("")
        return data


def _execute(argv: list[str], terminal: int, failure: int) -> NoReturn:
    try:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for standard in (0, 1, 2):
            os.dup2(terminal, standard)
        close_inherited(failure)
        _try(argv, {**os.environ, **_ADDED})
    except BaseException as error:  # nobody above us could say it
        os.write(failure, str(error).encode())
    os._exit(127)


def _try(argv: list[str], environment: Mapping[str, str]) -> None:
    try:
        os.execvpe(argv[0], argv, environment)
    except FileNotFoundError:
        where = "stat: no such file or directory" if "/" in argv[0] else "executable file not found in $PATH"
        raise OSError(f'exec: "{argv[0]}": {where}') from None

"""Drives one command from its birth to its end: moves its bytes, watches its time, takes its tree down.

It runs in the thread that asked for the command, so that a short one costs no thread. When the client goes away, it
goes on without: the command is the sandbox's, not the connection's.
"""

import errno
import os
import select
import signal
import threading
import time

from pytest_fargate_sandbox.server.protocol import HEARTBEAT_SEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from pytest_fargate_sandbox.server.commands.command import Command
    from pytest_fargate_sandbox.server.commands.output_listener import OutputListener
    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
    from pytest_fargate_sandbox.server.commands.waker import Waker

GRACE_SEC = 1.0
"""Between TERM and KILL."""

_AFTERGLOW_SEC = 0.1
"""How long the pipes of a command that has ended may still speak, if a background child holds them open."""

_GATHER_SEC = 0.004
"""A command that ends within this after its first output is answered in one write."""

_PATIENCE_SEC = 5.0
"""How long we wait for a process that does not even die of KILL."""

_LOOK_SEC = 0.02
_FAREWELL_SEC = 1.0
_BLOCK = 64 * 1024
_LARGE_PIPE = 1024 * 1024
_TTY_BLOCK = 4095 - 512
"""A terminal that gives so much at once has more to say. The kernel never gives more than 4,095 bytes.

https://github.com/torvalds/linux/blob/v6.1/drivers/tty/n_tty.c (N_TTY_BUF_SIZE)
"""
# https://man7.org/linux/man-pages/man2/F_GETPIPE_SZ.2const.html
_F_SETPIPE_SZ = 1031
_NEVER = float("inf")


class Pump:
    def __init__(self, command: "Command", pipes: "dict[int, bytes]", waker: "Waker", timeout: "float | None") -> None:
        self._command = command
        self._pipes = pipes
        self._waker = waker
        self._status: "int | None" = None
        self._step = _BLOCK
        self._output_listener: "OutputListener | None" = None
        self._poller = select.poll()
        self._poller.register(waker.fileno(), select.POLLIN)
        self._watched: "dict[int, int]" = {}
        self._exited_at = _NEVER
        self._due = _NEVER if timeout is None else command.started_at + timeout
        self._on_due: "Callable[[], None]" = self._ask_to_end
        self._ending = False
        self._given_up = False
        self._speak_at = _NEVER
        self._beat_at = _NEVER
        self._speaks_at_once = False
        self._has_news = False

    # --- what others give it ------------------------------------------------------------------------------------
    def on_exit(self, status: int) -> None:
        """Called by the reaper, in its thread."""
        self._status = status
        self._waker.wake()

    def serve(self, output_listener: "OutputListener") -> None:
        self._output_listener = output_listener
        self._beat_at = self._command.started_at + HEARTBEAT_SEC

    # --- the loop -----------------------------------------------------------------------------------------------
    def run(self) -> "int | None":
        """The wait status, or None of a process that could not be killed."""
        for pipe in self._pipes:
            self._watch(pipe, select.POLLIN)
        self._feed()
        while not self._is_done():
            for file, event in self._poller.poll(self._milliseconds()):
                self._act(file, event)
            self._keep_time()
            if self._has_news:
                self._speak()
        if self._command.terminal:
            self._hang_up()
        for pipe in list(self._pipes):
            self._read_what_is_left(pipe)
        self._leave_pipes()
        return self._status

    @property
    def _tree(self) -> "ProcessTree":
        assert self._command.tree is not None
        return self._command.tree

    def _is_done(self) -> bool:
        if self._given_up:
            return True
        if self._exited_at == _NEVER or self._ending:
            return False
        is_over = not self._pipes or self._command.terminal is not None
        return is_over or time.monotonic() >= self._exited_at + _AFTERGLOW_SEC

    def _act(self, file: int, event: int) -> None:
        if file in self._pipes:
            self._read(file, event)
        elif file == self._waker.fileno():
            self._waker.clear()
            if self._status is not None and self._exited_at == _NEVER:
                self._exited_at = time.monotonic()
                self._tree.leader_is_gone = True
            self._has_news = self._output_listener is not None and self._command.listener is not self._output_listener
            self._mind_the_pipes()
            self._feed()
        elif file == self._command.intake.file:
            self._feed()
        else:
            self._speak()

    def _read(self, pipe: int, event: int) -> None:
        try:
            data = _read(pipe, self._step) if event & select.POLLIN else b""
        except BlockingIOError:
            return
        if len(data) >= _TTY_BLOCK and self._command.terminal:
            data += _read_more(pipe)
        if not data:
            self._close(pipe)
            return
        if len(data) == _BLOCK:
            _enlarge(pipe)
            self._step = _LARGE_PIPE
        self._command.say(self._pipes[pipe], data)
        self._mind_the_pipes()
        if self._speaks_at_once:
            self._has_news = True
        elif self._output_listener and self._speak_at == _NEVER:
            self._speak_at = time.monotonic() + _GATHER_SEC

    def _read_what_is_left(self, pipe: int) -> None:
        """A pipe holds so much at most: behind that there are only the words of children that live on."""
        os.set_blocking(pipe, False)
        left = _LARGE_PIPE
        try:
            while left > 0:
                data = _read(pipe, left)
                if not data:
                    self._close(pipe)
                    return
                left -= len(data)
                self._command.say(self._pipes[pipe], data)
        except BlockingIOError:
            pass

    def _close(self, pipe: int) -> None:
        self._watch(pipe, 0)
        del self._pipes[pipe]
        os.close(pipe)

    def _feed(self) -> None:
        file = self._command.intake.file
        if file is not None:
            self._watch(file, select.POLLOUT if self._command.intake.pass_on() else 0)

    # --- the client ---------------------------------------------------------------------------------------------
    def _speak(self) -> None:
        output_listener = self._output_listener
        self._has_news = False
        if output_listener is None:
            return
        if self._command.listener is not output_listener:
            output_listener.gone = True
        output_listener.advance()
        self._watch(output_listener.fileno(), select.POLLOUT if output_listener.is_blocked else 0)
        if output_listener.gone:
            self._output_listener = None
            self._speak_at = self._beat_at = _NEVER
        self._mind_the_pipes()

    def _mind_the_pipes(self) -> None:
        """Read on, unless whoever should get it is too far behind."""
        listener = self._output_listener
        waits = self._command.is_full or (listener is not None and listener.is_behind)
        for pipe in self._pipes:
            self._watch(pipe, 0 if waits else select.POLLIN)

    # --- time ---------------------------------------------------------------------------------------------------
    def _milliseconds(self) -> "float | None":
        soonest = min(self._due, self._speak_at, self._beat_at)
        if self._exited_at != _NEVER:
            soonest = min(soonest, self._exited_at + _AFTERGLOW_SEC)
        now = time.monotonic()
        if self._ending:
            soonest = min(soonest, now + _LOOK_SEC)
        # A day at most: poll takes an int. A millisecond more, since it rounds down and would spin.
        return None if soonest == _NEVER else min(max(0.0, soonest - now), 86400.0) * 1000 + 1

    def _keep_time(self) -> None:
        now = time.monotonic()
        if now >= self._speak_at:
            self._speak_at, self._speaks_at_once, self._has_news = _NEVER, True, True
        if now >= self._beat_at and self._output_listener:
            self._beat_at = now + HEARTBEAT_SEC
            self._output_listener.beat()
            self._has_news = True
        if self._ending and self._exited_at != _NEVER and not self._tree.members():
            self._ending = False
            self._due = _NEVER
        if now >= self._due and not (self._exited_at != _NEVER and not self._ending):
            self._on_due()

    def _ask_to_end(self) -> None:
        self._command.timed_out = True
        self._ending = True
        self._tree.ask_to_end()
        self._due, self._on_due = time.monotonic() + GRACE_SEC, self._kill

    def _kill(self) -> None:
        self._tree.kill()
        self._due, self._on_due = time.monotonic() + _PATIENCE_SEC, self._give_up

    def _give_up(self) -> None:
        self._given_up = True

    # --- the end ------------------------------------------------------------------------------------------------
    def _hang_up(self) -> None:
        """Nobody stays behind on a screen that is gone; who is told has a moment to put his things in order."""
        end = time.monotonic() + _FAREWELL_SEC
        self._tree.send(signal.SIGHUP)
        while self._tree.members() and time.monotonic() < end:
            time.sleep(_LOOK_SEC)
        self._tree.kill()

    def _leave_pipes(self) -> None:
        """A background child may hold them open: it must not die of SIGPIPE because its shell is done."""
        for file in list(self._watched):
            self._watch(file, 0)
        self._poller.unregister(self._waker.fileno())
        if self._pipes and not self._command.terminal:
            name = "drain-" + self._command.id
            try:
                threading.Thread(target=_drain, args=(list(self._pipes),), name=name, daemon=True).start()
                return
            except RuntimeError:  # There is no thread to be had: for all that who holds them has started, most likely.
                pass
        for pipe in self._pipes:
            os.close(pipe)

    def _watch(self, file: int, events: int) -> None:
        if self._watched.get(file, 0) == events:
            return
        if events:
            self._poller.register(file, events)
            self._watched[file] = events
        else:
            self._poller.unregister(file)
            del self._watched[file]


def _read(pipe: int, most: int) -> bytes:
    """Nothing at its end, which a terminal that nobody holds any more calls an error."""
    try:
        return os.read(pipe, most)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise


def _read_more(terminal: int) -> bytes:
    """What comes while it is being read: to tell of each block by itself costs more than to read it."""
    poller = select.poll()
    poller.register(terminal, select.POLLIN)
    parts = []
    size = 0
    while size < _BLOCK and poller.poll(1):
        try:
            data = _read(terminal, _BLOCK)
        except BlockingIOError:
            continue
        if not data:
            break
        parts.append(data)
        size += len(data)
    return b"".join(parts)


def _enlarge(pipe: int) -> None:
    """A command that fills its pipe says much: fewer, larger steps."""
    import fcntl

    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _LARGE_PIPE)
    except OSError:
        pass


def _drain(pipes: "list[int]") -> None:
    poller = select.poll()
    for pipe in pipes:
        poller.register(pipe, select.POLLIN)
    left = set(pipes)
    while left:
        for pipe, _ in poller.poll():
            if not os.read(pipe, _BLOCK):
                poller.unregister(pipe)
                os.close(pipe)
                left.discard(pipe)

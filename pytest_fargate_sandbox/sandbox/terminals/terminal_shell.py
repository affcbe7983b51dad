"""A shell on a terminal: waiting for its prompt, and commands that run in it one after the other."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.terminals.shell_hook import ShellHook
from pytest_fargate_sandbox.sandbox.terminals.shell_state import Run, ShellState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess

NOT_AT_PROMPT: Final = "not_at_prompt"
"""The kind of error where that is why it takes no command."""

_START_SEC = 30.0
_PROMPT_SEC = 1.0
"""How long a shell may take from the end of a command to its prompt."""
_SLOW_PROMPT_SEC = 10.0
"""So much longer where nothing else can keep it from there than a machine that is busy."""

_INTERRUPT_SEC = 0.5
LONGEST_WAIT_SEC: Final = 1e9
"""For ever, to a lock, which takes no more than nine times as much."""

_NUDGE_SEC = 0.2
"""How long a shell that was interrupted may take to its prompt before it is reminded; then twice as long, and so on."""


class Shell:
    """``changed`` is the terminal's, which holds it when it tells ``state`` of what comes, and of what others type."""

    def __init__(
        self,
        process: TerminalProcess,
        changed: threading.Condition,
        show: Callable[[bytes], None],
        type_: Callable[[bytes], None],
    ) -> None:
        self._process = process
        self._type = type_
        self._changed = changed
        word = secrets.token_hex(6)
        self._hook = ShellHook(word, process.notes, process.script)
        self.state = ShellState(word, show)
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Return when the shell is at its first prompt of ours."""
        with self._changed:
            self.state.prompt_is_lost = False
            self.state.hide()
        self._process.write_script(self._hook.first_script())
        self._type(self._hook.first_line())
        if not self._wait(lambda: self.state.is_back, _START_SEC):
            with self._changed:
                self.state.stop_hiding(show=True)
            raise SandboxError(f"the shell did not come to its prompt within {_START_SEC:.0f} s: {self._who()}")

    def run(self, command: str, timeout_sec: float) -> ExecResult:
        with self._one_at_a_time:
            run = self._begin(command, in_full=False)
            in_time = self._wait_for(run, timeout_sec)
            if run.is_over and not run.was_read and not self.state.has_ended:
                run = self._begin(command, in_full=True)
                in_time = self._wait_for(run, timeout_sec)
            if not in_time:
                self._interrupt(run)
            if self.state.has_ended and run.code is None:
                raise SandboxError(f"the terminal was closed while a command ran in it: {command[:200]}")
            with self._changed:
                self.state.run = None
                return run.result(timed_out=not in_time)

    def wait_for_prompt(self, timeout_sec: float) -> bool:
        """Whether it has come; also where the shell has ended, and none will."""
        end, pause = time.monotonic() + timeout_sec, _NUDGE_SEC
        while not self._wait(lambda: self.state.is_back, min(pause, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                return False
            self._nudge()
            pause *= 2
        return True

    def _nudge(self) -> None:
        """bash that is interrupted while it draws what was typed takes note of it, and sleeps on until something comes.

        It sleeps in ``pselect``, or in a ``read`` of what the kernel has thrown away with the interrupt, which goes on
        behind any other signal. Only an editor of lines is told again: what else the shell does, it might do twice.
        https://git.savannah.gnu.org/cgit/readline.git/tree/input.c?h=readline-8.2 (rl_getc, rl_signal_event_hook)
        https://git.savannah.gnu.org/cgit/readline.git/tree/signals.c?h=readline-8.2 (rl_set_sighandler)
        """
        if self.state.was_interrupted:
            with suppress(SandboxError):  # it has ended meanwhile
                state = self._process.state()
                if state.foreground == self._process.pid and not state.by_lines:
                    with self._changed:
                        if self.state.is_told:
                            return  # it is there, and its end is yet to be shown
                        self.state.interrupts += 1
                    self._process.signal_foreground(signal.SIGINT, state.foreground)

    def _wait_for(self, run: Run, timeout_sec: float) -> bool:
        return self._wait(lambda: run.is_over or self.state.has_ended, timeout_sec)

    def _begin(self, command: str, *, in_full: bool) -> Run:
        self._await_prompt()
        self._process.write_script(self._hook.script_of(command, self.state.last_code))
        with self._changed:
            run = self.state.run = Run(command)
            self.state.hide()
        self._type(self._hook.line(in_full=in_full))
        return run

    def _await_prompt(self) -> None:
        if self.state.prompt_is_lost:
            self.start()
        self.wait_for_prompt(_PROMPT_SEC)
        if self.state.prompt_is_lost:  # which came later than the end of the command
            self.start()
        if self._is_only_slow():
            self.wait_for_prompt(_SLOW_PROMPT_SEC)
        if self.state.has_ended:
            raise SandboxError("the terminal is closed: its shell has ended")
        # busybox writes its prompt to stdout, which may lead elsewhere by now: then it has told us, and shows nothing.
        if not (self.state.is_at_prompt or self.state.is_told):
            raise SandboxError(f"the shell is not at its prompt: {self._who()}", kind=NOT_AT_PROMPT)

    def _is_only_slow(self) -> bool:
        if self.state.is_back or self.state.is_told or self.state.was_typed_to:
            return False
        state = self._process.state()
        return state.foreground == self._process.pid or not state.program

    def _who(self) -> str:
        """What keeps a shell from its prompt."""
        state = self._process.state()
        if state.foreground == self._process.pid:
            return "it waits for the rest of a line that was typed, or runs a command of its own"
        return f"`{state.program}` is running in it"

    def _interrupt(self, run: Run) -> None:
        """What Ctrl-C does, and if that is not enough, the end of whoever does not listen; the shell lives on."""
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL, signal.SIGKILL):
            group = self._process.state().foreground
            with self._changed:
                if run.is_over:
                    return
                if group == self._process.pid:
                    number = signal.SIGINT
                    self.state.interrupts += 1  # it may be at its prompt, without our knowing, and shows it again
                else:
                    run.was_interrupted = True
            self._process.signal_foreground(number, group)
            if self._wait_for(run, _INTERRUPT_SEC):
                return
        if not self._process.state().program:  # nobody is left in the foreground, which the shell is yet to notice
            self._wait_for(run, _SLOW_PROMPT_SEC)

    def _wait(self, is_so: Callable[[], bool], timeout_sec: float) -> bool:
        with self._changed:
            return self._changed.wait_for(is_so, min(timeout_sec, LONGEST_WAIT_SEC))

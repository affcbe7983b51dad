"""A shell on a terminal: whether it is at its prompt, and commands that run in it one after the other."""

from __future__ import annotations

import re
import secrets
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.results import ExecResult
from pytest_fargate_sandbox.sandbox.exec.limits import DEFAULT_MAX_OUTPUT_BYTES
from pytest_fargate_sandbox.sandbox.terminals.shell_hook import (
    AT_PROMPT,
    PROMPT_LOST,
    RUN_BEGINS,
    RUN_ENDED,
    Note,
    ShellHook,
    notes_in,
)
from pytest_fargate_sandbox.sandbox.terminals.shell_marks import (
    CURSOR_ASKED,
    OUTPUT_BEGINS,
    OUTPUT_ENDS,
    PROMPT_BEGINS,
    PROMPT_ENDS,
    Mark,
    MarkedStream,
)
from pytest_fargate_sandbox.server.protocol import CODE_TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess

_MODES = re.compile(rb"\x1b\[\?[0-9;]+[hl]")
"""What an editor switches on and off around a line that is typed holds, though the line itself is not shown."""

_LAST_WORDS = re.compile(rb"(\r\n)?(\x1b\[\?[0-9;]+[hl])*\Z")
"""What a shell that was interrupted says before its prompt: it begins a line, and the editor of bash begins."""

NOT_AT_PROMPT: Final = "not_at_prompt"
"""The kind of error where that is why it takes no command."""

_START_SEC = 30.0
_PROMPT_SEC = 1.0
"""How long a shell may take from the end of a command to its prompt."""
_SLOW_PROMPT_SEC = 10.0
"""So much longer where nothing else can keep it from there than a machine that is busy."""

_MOST_HIDDEN = 1024 * 1024
"""Of what is not shown, which is a line of ours and its echo, unless somebody floods the terminal meanwhile."""

_INTERRUPT_SEC = 0.5
LONGEST_WAIT_SEC: Final = 1e9
"""For ever, to a lock, which takes no more than nine times as much."""

_INTERRUPT = b"\x03"
_CODE_INTERRUPTED = 128 + signal.SIGINT
_NUDGE_SEC = 0.2
"""How long a shell that was interrupted may take to its prompt before it is reminded; then twice as long, and so on."""


class Run:
    """A command that was typed. All of it is guarded by the shell's ``changed``."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.began_at = time.monotonic()
        self.output = bytearray()
        self.total = 0
        self.was_read = False
        """The shell has understood what was typed."""
        self.has_begun = False
        self.is_out = False
        """All its output has come."""
        self.code: int | None = None
        self.ended_at_prompt = False

    @property
    def is_over(self) -> bool:
        return self.is_out and self.code is not None

    def say(self, data: bytes) -> None:
        self.total += len(data)
        self.output += data[: max(0, DEFAULT_MAX_OUTPUT_BYTES - len(self.output))]


class Shell:
    """``show`` is given what belongs on the screen. ``changed`` is the terminal's, and held when it calls."""

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
        self._show = show
        word = secrets.token_hex(6)
        self._hook = ShellHook(word, process.notes, process.script)
        self._stream = MarkedStream(word)
        self._notes = b""
        self._run: Run | None = None
        self._hidden: bytearray | None = bytearray()
        """What comes is thrown away as long as this is not None: our own lines, and their echo."""
        self.prompts = 0
        """So many were told on the pipe. On the screen one may be shown again, as when the screen has another size."""
        self._left = 0
        """How many there had been when something was typed: it takes another one to be back."""
        self._shows_prompt = False
        self._asks_for_cursor = False
        self._taken_questions = 0
        """Of so many prompts that come, a line may be there already: an answer would come behind it."""
        self._was_typed_to = False
        """By others than us, since the last command: it may wait for the rest of a line."""
        self._was_interrupted = False
        self._interrupts = 0
        """So many were sent whose prompts have not come. Of two that come soon after each other one may be all."""
        self._prompt_is_lost = False
        """The last command has set a prompt of its own."""
        self._last_code = 0
        self._has_run = False
        self.has_ended = False
        self._one_at_a_time = threading.Lock()

    # --- what comes, with ``changed`` held --------------------------------------------------------------------------
    def said(self, screen: bytes, notes: bytes) -> None:
        for part in self._stream.feed(screen):
            if isinstance(part, Mark):
                self._pass(part)
            else:
                self._take(part)
        found, self._notes = notes_in(self._notes + notes)
        for note in found:
            self._take_note(note)

    def ended(self, code: int | None) -> None:
        self._take(self._stream.end())
        self._stop_hiding(show=True)
        self.has_ended = True
        if self._run:
            self._run.is_out = True
            if self._run.code is None:
                self._run.code = code

    def typed(self, data: bytes = b"") -> None:
        """Somebody types this: whether it leaves the prompt is not for us to know."""
        self._was_typed_to = bool(data)
        interrupts = data.count(_INTERRUPT)
        self._was_interrupted = interrupts > 0
        self._interrupts = 0 if interrupts and self._run else self._interrupts + interrupts
        lines = data.count(b"\r") + data.count(b"\n")
        if self.is_at_prompt:
            self._taken_questions = max(0, lines - 1)
        else:
            self._asks_for_cursor = False
            self._taken_questions += lines
        # The prompt behind a run may still be on its way: it was there before what is typed now, and not after it.
        self._left, self._shows_prompt = self.prompts + self._has_run, False

    @property
    def is_at_prompt(self) -> bool:
        return self._shows_prompt and self.prompts > self._left and not self.has_ended

    def answer(self, cursor: tuple[int, int]) -> bytes:
        """What its prompt has asked, to be typed before anything else; once."""
        asked, self._asks_for_cursor = self._asks_for_cursor, False
        column, row = cursor
        return b"\x1b[%d;%dR" % (row + 1, column + 1) if asked else b""

    def _take(self, data: bytes) -> None:
        if self._hidden is not None:
            self._hidden += data
            del self._hidden[:-_MOST_HIDDEN]
            return
        if self._run and self._run.has_begun and not self._run.is_out:
            self._run.say(data)
        self._show(data)

    def _pass(self, mark: Mark) -> None:
        run = self._run
        if mark == OUTPUT_BEGINS and run and not run.has_begun:
            run.has_begun = True
            self._stop_hiding(show=False)
            self._show(run.command.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n")
        elif mark in (OUTPUT_ENDS, PROMPT_BEGINS) and run and run.has_begun:
            run.ended_at_prompt |= mark == PROMPT_BEGINS and not run.is_out
            run.is_out = True
        elif mark == PROMPT_ENDS:
            self._stop_hiding(show=False)
            self._shows_prompt = True
        elif mark == CURSOR_ASKED and self._taken_questions:
            self._taken_questions -= 1
        elif mark == CURSOR_ASKED:
            self._asks_for_cursor = self._shows_prompt  # else something was typed meanwhile, and it waits no more

    def _stop_hiding(self, *, show: bool) -> None:
        if self._hidden is not None:
            hidden, self._hidden = bytes(self._hidden), None
            self._show(hidden if show else b"".join(_MODES.findall(hidden)))

    def _take_note(self, note: Note) -> None:
        run = self._run
        if note.kind == PROMPT_LOST:
            self._prompt_is_lost, self._has_run = True, False  # none is on its way
        elif note.kind == RUN_BEGINS:
            if run:
                run.was_read = True
        else:
            is_of_an_interrupt = self._is_of_an_interrupt(note)
            if is_of_an_interrupt and self._has_run:
                self._left -= 1  # the prompt behind the run was on its way, was interrupted, and does not come
            self._remember_code(note)
            self.prompts += note.kind == AT_PROMPT
            if is_of_an_interrupt and run and not run.was_read:
                self._left += 1  # it was on its way when the command was typed, which the shell has yet to read
            elif run and run.code is None:
                run.code = note.code
                run.is_out = run.is_out or not run.was_read

    def _is_of_an_interrupt(self, note: Note) -> bool:
        """Whether it is the prompt behind an interrupt, which is counted."""
        is_it = note.kind == AT_PROMPT and note.code == _CODE_INTERRUPTED and self._interrupts > 0
        self._interrupts -= is_it
        return is_it

    def _remember_code(self, note: Note) -> None:
        """What ``$?`` is for the next command: the prompt behind a run of ours knows only that of our own words."""
        if note.kind == RUN_ENDED or not self._has_run:
            self._last_code = note.code
        self._has_run = note.kind == RUN_ENDED

    # --- what is done with it -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Return when the shell is at its first prompt of ours."""
        with self._changed:
            self._hidden, self._prompt_is_lost = bytearray(), False
            self.typed()
        self._process.write_script(self._hook.first_script())
        self._type(self._hook.first_line())
        if not self._wait(lambda: self.is_at_prompt or self.has_ended, _START_SEC):
            with self._changed:
                self._stop_hiding(show=True)
            raise SandboxError(f"the shell did not come to its prompt within {_START_SEC:.0f} s: {self._who()}")

    def run(self, command: str, timeout_sec: float) -> ExecResult:
        with self._one_at_a_time:
            run = self._begin(command, in_full=False)
            in_time = self._wait_for(run, timeout_sec)
            if run.is_over and not run.was_read and not self.has_ended:
                run = self._begin(command, in_full=True)
                in_time = self._wait_for(run, timeout_sec)
            if not in_time:
                self._interrupt(run)
            if self.has_ended and run.code is None:
                raise SandboxError(f"the terminal was closed while a command ran in it: {command[:200]}")
            with self._changed:
                self._run = None
                return _result_of(run, not in_time)

    def wait_for_prompt(self, timeout_sec: float) -> bool:
        """Whether it has come; also where the shell has ended, and none will."""
        end, pause = time.monotonic() + timeout_sec, _NUDGE_SEC
        while not self._wait(self._is_back, min(pause, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                return False
            self._nudge()
            pause *= 2
        return True

    def _is_back(self) -> bool:
        return self.is_at_prompt or self.has_ended

    def _nudge(self) -> None:
        """bash that is interrupted while it draws what was typed takes note of it, and sleeps on until something comes.

        It sleeps in ``pselect``, or in a ``read`` of what the kernel has thrown away with the interrupt, which goes on
        behind any other signal. Only an editor of lines is told again: what else the shell does, it might do twice.
        https://git.savannah.gnu.org/cgit/readline.git/tree/input.c?h=readline-8.2 (rl_getc, rl_signal_event_hook)
        https://git.savannah.gnu.org/cgit/readline.git/tree/signals.c?h=readline-8.2 (rl_set_sighandler)
        """
        if self._was_interrupted:
            with suppress(SandboxError):  # it has ended meanwhile
                state = self._process.state()
                if state.foreground == self._process.pid and not state.by_lines:
                    with self._changed:
                        if self.prompts > self._left:
                            return  # it is there, and its end is yet to be shown
                        self._interrupts += 1
                    self._process.signal_foreground(signal.SIGINT)

    def _wait_for(self, run: Run, timeout_sec: float) -> bool:
        return self._wait(lambda: run.is_over or self.has_ended, timeout_sec)

    def _begin(self, command: str, *, in_full: bool) -> Run:
        self._await_prompt()
        self._process.write_script(self._hook.script_of(command, self._last_code))
        with self._changed:
            run = self._run = Run(command)
            self._hidden = bytearray()
            self.typed()
        self._type(self._hook.line(in_full=in_full))
        return run

    def _await_prompt(self) -> None:
        if self._prompt_is_lost:
            self.start()
        self.wait_for_prompt(_PROMPT_SEC)
        if self._prompt_is_lost:  # which came later than the end of the command
            self.start()
        if self._is_only_slow():
            self.wait_for_prompt(_SLOW_PROMPT_SEC)
        if self.has_ended:
            raise SandboxError("the terminal is closed: its shell has ended")
        # busybox writes its prompt to stdout, which may lead elsewhere by now: then it has told us, and shows nothing.
        if not (self.is_at_prompt or self._is_told()):
            raise SandboxError(f"the shell is not at its prompt: {self._who()}", kind=NOT_AT_PROMPT)

    def _is_only_slow(self) -> bool:
        if self._is_back() or self._is_told() or self._was_typed_to:
            return False
        return self._process.state().foreground == self._process.pid

    def _is_told(self) -> bool:
        """Whether another prompt than the last came, shown or not."""
        return self.prompts > self._left

    def _who(self) -> str:
        """What keeps a shell from its prompt."""
        state = self._process.state()
        if state.foreground == self._process.pid:
            return "it waits for the rest of a line that was typed, or runs a command of its own"
        return f"`{state.program}` is running in it"

    def _interrupt(self, run: Run) -> None:
        """What Ctrl-C does, and if that is not enough, the end of whoever does not listen; the shell lives on."""
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL, signal.SIGKILL):
            if self._process.state().foreground == self._process.pid:
                number = signal.SIGINT
            self._process.signal_foreground(number)
            if self._wait_for(run, _INTERRUPT_SEC):
                return

    def _wait(self, is_so: Callable[[], bool], timeout_sec: float) -> bool:
        with self._changed:
            return self._changed.wait_for(is_so, min(timeout_sec, LONGEST_WAIT_SEC))


def _result_of(run: Run, timed_out: bool) -> ExecResult:
    if run.ended_at_prompt and run.code == _CODE_INTERRUPTED:
        run.output[-100:] = _LAST_WORDS.sub(b"", run.output[-100:], count=1)
    output = bytes(run.output).replace(b"\r\n", b"\n")  # as it was, before the terminal made new lines of its ends
    return ExecResult(
        stdout=output.decode("utf-8", "replace"),
        stderr="",
        return_code=CODE_TIMED_OUT if timed_out or run.code is None else run.code,
        timed_out=timed_out,
        truncated=run.total > len(run.output),
        duration_sec=time.monotonic() - run.began_at,
        stdout_bytes=output,
        command=run.command,
    )

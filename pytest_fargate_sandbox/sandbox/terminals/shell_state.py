"""What a shell is at, by what comes from its terminal and its pipe. Nothing here waits, or types."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.results import ExecResult
from pytest_fargate_sandbox.sandbox.exec.limits import DEFAULT_MAX_OUTPUT_BYTES
from pytest_fargate_sandbox.sandbox.terminals.shell_hook import (
    AT_PROMPT,
    PROMPT_LOST,
    RUN_BEGINS,
    RUN_ENDED,
    Note,
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

_MODES = re.compile(rb"\x1b\[\?[0-9;]+[hl]")
"""What an editor switches on and off around a line that is typed holds, though the line itself is not shown."""

_LAST_WORDS = re.compile(rb"(\r\n)?(\x1b\[\?[0-9;]+[hl])*\Z")
"""What a shell that was interrupted says before its prompt: it begins a line, and the editor of bash begins."""

_MOST_HIDDEN = 1024 * 1024
"""Of what is not shown, which is a line of ours and its echo, unless somebody floods the terminal meanwhile."""

_INTERRUPT = b"\x03"
_CODE_INTERRUPTED = 128 + signal.SIGINT


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
        self.was_interrupted = False
        """What it runs was, and not the shell: if that ends it, the prompt says so as well."""
        self.code: int | None = None
        self.ended_at_prompt = False

    @property
    def is_over(self) -> bool:
        return self.is_out and self.code is not None

    def say(self, data: bytes) -> None:
        self.total += len(data)
        self.output += data[: max(0, DEFAULT_MAX_OUTPUT_BYTES - len(self.output))]

    def result(self, *, timed_out: bool) -> ExecResult:
        if self.ended_at_prompt and self.code == _CODE_INTERRUPTED:
            self.output[-100:] = _LAST_WORDS.sub(b"", self.output[-100:], count=1)
        output = bytes(self.output).replace(b"\r\n", b"\n")  # as it was, before the terminal made new lines of its ends
        return ExecResult(
            stdout=output.decode("utf-8", "replace"),
            stderr="",
            return_code=CODE_TIMED_OUT if timed_out or self.code is None else self.code,
            timed_out=timed_out,
            truncated=self.total > len(self.output),
            duration_sec=time.monotonic() - self.began_at,
            stdout_bytes=output,
            command=self.command,
        )


class ShellState:
    """``show`` is given what belongs on the screen. All of it is guarded by the terminal's ``changed``."""

    def __init__(self, word: str, show: Callable[[bytes], None]) -> None:
        """``word`` is in our marks."""
        self._show = show
        self._stream = MarkedStream(word)
        self._notes = b""
        self.run: Run | None = None
        self._hidden: bytearray | None = bytearray()
        """What comes is thrown away as long as this is not None: our own lines, and their echo."""
        self._prompts = 0
        """So many were told on the pipe. On the screen one may be shown again, as when the screen has another size."""
        self._left = 0
        """How many there had been when something was typed: it takes another one to be back."""
        self._shows_prompt = False
        self._asks_for_cursor = False
        self._taken_questions = 0
        """Of so many prompts that come, a line may be there already: an answer would come behind it."""
        self.was_typed_to = False
        """By others than us, since the last command: it may wait for the rest of a line."""
        self.was_interrupted = False
        self.interrupts = 0
        """So many were sent whose prompts have not come. Of two that come soon after each other one may be all."""
        self.prompt_is_lost = False
        """The last command has set a prompt of its own."""
        self.last_code = 0
        self._has_run = False
        self.has_ended = False

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
        self.stop_hiding(show=True)
        self.has_ended = True
        if self.run:
            self.run.is_out = True
            if self.run.code is None:
                self.run.code = code

    def typed(self, data: bytes = b"") -> None:
        """Somebody types this: whether it leaves the prompt is not for us to know."""
        self.was_typed_to = bool(data)
        interrupts = data.count(_INTERRUPT)
        self.was_interrupted = interrupts > 0
        self.interrupts = 0 if interrupts and self.run else self.interrupts + interrupts
        lines = data.count(b"\r") + data.count(b"\n")
        if self.is_at_prompt:
            self._taken_questions = max(0, lines - 1)
        else:
            self._asks_for_cursor = False
            self._taken_questions += lines
        # The prompt behind a run may still be on its way: it was there before what is typed now, and not after it.
        self._left, self._shows_prompt = self._prompts + self._has_run, False

    def hide(self) -> None:
        """What is typed now is ours, and neither it nor its echo is shown."""
        self._hidden = bytearray()
        self.typed()

    @property
    def is_at_prompt(self) -> bool:
        return self._shows_prompt and self.is_told and not self.has_ended

    @property
    def is_back(self) -> bool:
        return self.is_at_prompt or self.has_ended

    @property
    def is_told(self) -> bool:
        """Whether another prompt than the last came, shown or not."""
        return self._prompts > self._left

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
        if self.run and self.run.has_begun and not self.run.is_out:
            self.run.say(data)
        self._show(data)

    def _pass(self, mark: Mark) -> None:
        run = self.run
        if mark == OUTPUT_BEGINS and run and not run.has_begun:
            run.has_begun = True
            self.stop_hiding(show=False)
            self._show(run.command.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n")
        elif mark in (OUTPUT_ENDS, PROMPT_BEGINS) and run and run.has_begun:
            run.ended_at_prompt |= mark == PROMPT_BEGINS and not run.is_out
            run.is_out = True
        elif mark == PROMPT_ENDS:
            self.stop_hiding(show=False)
            self._shows_prompt = True
        elif mark == CURSOR_ASKED and self._taken_questions:
            self._taken_questions -= 1
        elif mark == CURSOR_ASKED:
            self._asks_for_cursor = self._shows_prompt  # else something was typed meanwhile, and it waits no more

    def stop_hiding(self, *, show: bool) -> None:
        if self._hidden is not None:
            hidden, self._hidden = bytes(self._hidden), None
            self._show(hidden if show else b"".join(_MODES.findall(hidden)))

    def _take_note(self, note: Note) -> None:
        run = self.run
        if note.kind == PROMPT_LOST:
            self.prompt_is_lost, self._has_run = True, False  # none is on its way
        elif note.kind == RUN_BEGINS:
            if run:
                run.was_read = True
        else:
            is_of_an_interrupt = self._is_of_an_interrupt(note)
            if is_of_an_interrupt and self._has_run:
                self._left -= 1  # the prompt behind the run was on its way, was interrupted, and does not come
            self._remember_code(note)
            self._prompts += note.kind == AT_PROMPT
            if is_of_an_interrupt and run and not run.was_read:
                self._left += 1  # it was on its way when the command was typed, which the shell has yet to read
            elif run and run.code is None:
                run.code = note.code
                run.is_out = run.is_out or not run.was_read

    def _is_of_an_interrupt(self, note: Note) -> bool:
        """Whether it is the prompt behind an interrupt, which is counted."""
        is_it = note.kind == AT_PROMPT and note.code == _CODE_INTERRUPTED and self.interrupts > 0
        if self.run and self.run.was_interrupted and self.run.code is None:
            return False
        self.interrupts -= is_it
        return is_it

    def _remember_code(self, note: Note) -> None:
        """What ``$?`` is for the next command: the prompt behind a run of ours knows only that of our own words."""
        if note.kind == RUN_ENDED or not self._has_run:
            self.last_code = note.code
        self._has_run = note.kind == RUN_ENDED

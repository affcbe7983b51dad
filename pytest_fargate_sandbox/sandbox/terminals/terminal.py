"""A terminal in a sandbox: a shell that lives on, a screen that can be read, a recording that plays."""

from __future__ import annotations

import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.call_arguments import check_whole, wrong_argument
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.terminals.key_names import bytes_of_key
from pytest_fargate_sandbox.sandbox.terminals.new_output import NewOutput
from pytest_fargate_sandbox.sandbox.terminals.recording import Recording
from pytest_fargate_sandbox.sandbox.terminals.screen import check_size
from pytest_fargate_sandbox.sandbox.terminals.screen_choice import new_screen
from pytest_fargate_sandbox.sandbox.terminals.terminal_answers import Answers
from pytest_fargate_sandbox.sandbox.terminals.terminal_link import TerminalLink
from pytest_fargate_sandbox.sandbox.terminals.terminal_shell import LONGEST_WAIT_SEC, Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess
    from pytest_fargate_sandbox.server.protocol import Result

_LONGEST_LINE = 4095
"""What the kernel keeps of a line that is typed to a program that reads by lines.

https://github.com/torvalds/linux/blob/v6.1/drivers/tty/n_tty.c (N_TTY_BUF_SIZE)
"""

_HANG_UP_SEC = 1.0
_ENDING_SEC = 10.0
"""What has been killed is gone in no time, but where the machine has none to spare."""


class Terminal:
    """Made by ``workspace.open_terminal``. Any thread may use it."""

    def __init__(self, process: TerminalProcess, name: str, width: int, height: int, *, has_shell: bool) -> None:
        self.name = name
        self.size = width, height
        self._recording = Recording(width, height, title=name)
        self._process = process
        self._changed = threading.Condition()
        self._screen = new_screen(width, height)
        self._text: str | None = None
        self._is_closed = False
        self._result: Result | None = None
        self._error: SandboxError | None = None
        self._answers = Answers(process, self._type)
        self._typing = threading.Lock()
        self._new_output = NewOutput()
        self._shell = Shell(process, self._changed, self._show, self._type) if has_shell and process.notes else None
        self._link = TerminalLink(process, name, self)
        self._link.start()
        if self._shell:
            self._shell.start()

    def __repr__(self) -> str:
        return f"<Terminal {self.name}>"

    # --- commands in its shell ------------------------------------------------------------------------------------
    def run(self, command: str, timeout_sec: float = 180) -> ExecResult:
        """Run a command in the shell of this terminal, where ``cd``, variables and functions stay for the next one.

        Its stdout is the terminal (programs show colours, and stderr comes with it). What a background job says late
        may land in the output of the next command. After ``timeout_sec`` whoever is in the foreground is ended, the
        result has the code 124 and the output so far, and the shell lives on. A shell that is not at its prompt is a
        ``SandboxError`` that says what is running.
        """
        self._check_open()
        if self._shell is None:
            raise SandboxError(f"no shell runs in the terminal {self.name}: type to it with send_keys")
        _check_text("a command", command)
        if "\0" in command:
            raise ValueError(f"a command has no NUL in it: {command!r:.80}")
        _check_seconds(timeout_sec=timeout_sec)
        try:
            return self._shell.run(command, timeout_sec)
        except SandboxError:
            if self._error:
                raise self._error from None
            raise

    # --- keys -----------------------------------------------------------------------------------------------------
    def send_keys(
        self,
        keys: str | Sequence[str],
        block: bool = False,
        min_timeout_sec: float = 0.0,
        max_timeout_sec: float = 180.0,
        *,
        literal: bool = False,
    ) -> None:
        """Type. Each of ``keys`` is the name of a key as tmux has it (``Enter``, ``C-c``, ``M-x``, ``Up``), or text.

        ``literal`` says that all is text. Without ``block`` it returns after ``min_timeout_sec``; with it, when the
        shell is at its prompt again, or with a ``TimeoutError`` after ``max_timeout_sec``.
        """
        parts: list[Any] = list(keys) if isinstance(keys, (list, tuple)) else [keys]
        for part in parts:
            _check_text("a key", part)
        _check_seconds(min_timeout_sec=min_timeout_sec, max_timeout_sec=max_timeout_sec)
        self._check_open()
        if block and self._shell is None:
            raise SandboxError(f"no shell runs in the terminal {self.name} whose prompt could be waited for")
        end = time.monotonic() + max_timeout_sec
        for part in parts:
            self._send(part, literal)
        if not block:
            time.sleep(min(min_timeout_sec, LONGEST_WAIT_SEC))
            return
        shell = self._shell
        assert shell
        if not shell.wait_for_prompt(max(0.0, end - time.monotonic())):
            raise TimeoutError(f"the shell of the terminal {self.name} was not at its prompt after {max_timeout_sec} s")

    def _send(self, part: str, literal: bool) -> None:
        with self._changed:
            application_keys, brackets = self._screen.has_application_keys, self._screen.takes_pasted_text
        data = None if literal else bytes_of_key(part, application_keys=application_keys)
        if data is None:
            data = self._pasted(part.encode("utf-8", "surrogateescape"), brackets)
        if self._shell:
            with self._changed:
                self._shell.state.typed(data)
        try:
            self._type(data)
        except SandboxError:
            self._wait(lambda: not self.is_alive, _HANG_UP_SEC)  # it may just have ended
            self._check_open()
            raise

    def _pasted(self, text: bytes, brackets: bool) -> bytes:
        """As it has to be typed to arrive whole."""
        body = text.rstrip(b"\n")
        if brackets and b"\n" in body:
            return b"\x1b[200~" + body.replace(b"\x1b[201~", b"") + b"\x1b[201~" + text[len(body) :]
        longest = max(map(len, text.split(b"\n")))
        if longest > _LONGEST_LINE and self._process.state().by_lines:
            raise ValueError(
                f"a line of {longest} bytes, to a program that reads by lines: the kernel keeps {_LONGEST_LINE}"
            )
        return text

    def _type(self, data: bytes) -> None:
        """What programs asked of their terminal is answered before what is typed next."""
        with self._typing:
            answers = self._answers.take()
            with self._changed:
                if self._shell and data:
                    answers += self._shell.state.answer(self._screen.cursor)
            if answers or data:
                self._process.write(answers + data)

    # --- the screen -----------------------------------------------------------------------------------------------
    def capture(self, entire: bool = False) -> str:
        """What is to be seen; ``entire`` with what has left the screen at the top."""
        with self._changed:
            if entire:
                return self._screen.contents()
            if self._text is None:
                self._text = self._screen.text()
            return self._text

    def screen(self) -> str:
        """What is to be seen, with colours and the like as escape sequences."""
        with self._changed:
            return self._screen.styled()

    @property
    def cursor(self) -> tuple[int, int]:
        """Its column and row on the screen, from 0."""
        with self._changed:
            return self._screen.cursor

    def wait_for(self, text: str | re.Pattern[str], timeout: float = 30.0) -> str:
        """Return what is to be seen as soon as this stands in it; a ``TimeoutError`` if it does not come."""
        _check_seconds(timeout=timeout)
        if not isinstance(text, (str, re.Pattern)):
            raise wrong_argument("text", text, "a string, or a compiled pattern")
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        if self._wait(lambda: pattern.search(self.capture()) or not self.is_alive, timeout):
            shown = self.capture()
            if pattern.search(shown):
                return shown
            if self._error:
                raise self._error
            raise SandboxError(f"{pattern.pattern!r} did not come: the terminal {self.name} has ended\n{shown}")
        raise TimeoutError(f"{pattern.pattern!r} did not come within {timeout} s; to be seen is:\n{self.capture()}")

    def incremental_output(self) -> str:
        """The lines that are new since the last call; where none were added but some changed, the whole screen."""
        return self.new_output()[1]

    def new_output(self) -> tuple[bool, str]:
        """The same, and whether lines were added."""
        return self._new_output.since_last(self.capture(entire=True), self.capture())

    def resize(self, width: int, height: int) -> None:
        check_size(width, height)
        self._check_open()
        self._process.state(width, height)
        with self._changed:
            self.size, self._text = (width, height), None
            self._screen.resize(width, height)
        self._recording.resized(width, height)

    # --- its recording --------------------------------------------------------------------------------------------
    def recording(self, version: int = 2) -> str:
        """What it has shown so far, as an asciicast."""
        return self._recording.text(version=version)

    def stream(self, offset: int = 0) -> tuple[list[str], int]:
        """The lines of the recording from this offset on, and the offset for the next call."""
        check_whole("offset", offset)
        return self._recording.stream(offset)

    @property
    def recorded_sec(self) -> float:
        """From the beginning of the recording to now."""
        return self._recording.seconds

    def mark(self, label: str) -> None:
        """Put a marker into the recording."""
        self._recording.mark(label)

    # --- life and death -------------------------------------------------------------------------------------------
    @property
    def is_alive(self) -> bool:
        return self._result is None and self._error is None and not self._is_closed

    @property
    def exit_code(self) -> int | None:
        """That of its first program, once it has ended."""
        return self._result.return_code if self._result else None

    def signal(self, number: int) -> None:
        """Send a signal to whoever is in the foreground."""
        if number not in signal.valid_signals():
            raise ValueError(f"there is no signal {number!r:.80}")
        self._check_open()
        self._process.signal_foreground(number)

    def close(self) -> None:
        """Hang up: whatever runs in it is told, and ended a second later."""
        if self.is_alive:
            self._process.signal_tree(signal.SIGHUP)
            if not self._wait(lambda: not self.is_alive, _HANG_UP_SEC):
                self._process.kill()
                self._wait(lambda: not self.is_alive, _ENDING_SEC)
        self.abandon()

    def abandon(self) -> None:
        """Nobody listens any more; its sandbox is gone, or lives on without us."""
        self._link.close()
        with self._changed:
            self._is_closed = True
            if self._shell and not self._shell.state.has_ended:
                self._shell.state.ended(None)
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._error:
            raise self._error
        if not self.is_alive:
            how = "" if self.exit_code is None else f": its program has ended with {self.exit_code}"
            raise SandboxError(f"the terminal {self.name} is closed{how}")

    def _wait(self, is_so: Callable[[], object], timeout: float) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(is_so, min(timeout, LONGEST_WAIT_SEC)))

    # --- what comes, in the thread of the link ----------------------------------------------------------------------
    def said(self, screen: bytes, notes: bytes) -> None:
        with self._changed:
            if self._shell:
                self._shell.state.said(screen, notes)
            else:
                self._show(screen)
            self._changed.notify_all()
        self._answers.send()

    def ended(self, result: Result | None, error: SandboxError | None) -> None:
        with self._changed:
            self._result, self._error = result, error
            if self._shell and not self._shell.state.has_ended:
                self._shell.state.ended(result.return_code if result else None)
            self._changed.notify_all()

    def _show(self, data: bytes) -> None:
        if not data:
            return
        answer = self._screen.feed(data)
        self._answers.add(answer)
        self._text = None
        self._recording.output(data)


def _check_text(what: str, text: object) -> None:
    """It can be typed: whole characters, and bytes that are none by way of surrogateescape."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a string, not {text!r:.80}")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"{what} has half of a surrogate pair in it, which is no text: {text!a:.80}") from None


def _check_seconds(**named: object) -> None:
    """Before anything is typed. Without end they may be, and no number is none."""
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise ValueError(f"{name}={value!r}: expected a number of seconds, 0 or more")

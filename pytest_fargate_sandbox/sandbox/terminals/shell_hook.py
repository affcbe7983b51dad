"""What a shell is typed so that it tells where it stands, on bash, dash and busybox's ash alike.

Its prompt says on the pipe of the terminal (``notes``) that it is there, and with which exit code, and sets a mark
before and behind itself. PS1 is not exported: a shell in the shell has a prompt of its own and does not answer for
this one. A command goes to a file and is read from there, so that its lines, here-documents and quotes need no care,
and ``return`` and ``exit`` mean what they say; its exit code comes on the pipe, which is opened by path, so that no
child inherits it. Where the line that was typed is thrown away, after Ctrl-C or a syntax error, the prompt tells.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from pytest_fargate_sandbox.sandbox.terminals.shell_marks import (
    OUTPUT_BEGINS,
    OUTPUT_ENDS,
    PROMPT_BEGINS,
    PROMPT_ENDS,
    mark,
)

AT_PROMPT = "P"
RUN_BEGINS = "<"
RUN_ENDED = "="
PROMPT_LOST = "L"

_ALIAS = "_fargate_run"
"""Short, since an editor of lines draws each letter that is typed. No function, in which ``$@`` would be another."""

_OWN = '"command"'
"""Before what is to be the shell's own, whatever its user's aliases and functions are; in quotes it is no alias."""

_NOTE = re.compile(rb"([P<=L]) (\d{1,20}) (\d{1,3})")
_LONGEST_NOTE = 64
"""Whatever else is written to that pipe, by whoever found it."""


class Note(NamedTuple):
    """What a shell said, which process it was, and the exit code before it."""

    kind: str
    pid: int
    code: int


class ShellHook:
    """Of one shell: ``word`` is in its marks, ``notes`` its pipe, ``script`` the file from which it reads."""

    def __init__(self, word: str, notes: str, script: str) -> None:
        self._word = word
        self._notes = shlex.quote(notes)
        self._script = shlex.quote(script)

    def first_script(self) -> str:
        """What the shell reads first."""
        begin, end = mark(PROMPT_BEGINS, self._word), mark(PROMPT_ENDS, self._word)
        tell = f"$({self._tell(AT_PROMPT)})"
        # Shells with an editor of their own are told what of a prompt takes no room; dash has none, and no `let`.
        return (
            f"if type let >/dev/null 2>&1; then PS1='\\[{begin}\\]{tell}'\"$PS1\"'\\[{end}\\]'\n"
            f"else PS1='{begin}{tell}'\"$PS1\"'{end}'; fi\n"
            'HISTCONTROL="ignorespace${HISTCONTROL:+:$HISTCONTROL}"\n'
            f"alias {_ALIAS}={shlex.quote(self._run_it())}\n"
        )

    def first_line(self) -> bytes:
        return f" . {self._script}\n".encode()

    def script_of(self, command: str, last_code: int) -> str:
        """What the shell reads to run a command: ``$?`` is still the last one's."""
        before = f"case $- in *e*) ;; *) (exit {last_code}) ;; esac; " if last_code else ""
        return f"{before}{command}\n"

    def line(self, *, in_full: bool) -> bytes:
        """What is typed to run the command that lies in the file; ``in_full`` where the shell has lost its alias."""
        return f" {self._run_it() if in_full else _ALIAS}\n".encode()

    def _run_it(self) -> str:
        begin, end = mark(OUTPUT_BEGINS, self._word), mark(OUTPUT_ENDS, self._word)
        lost = f"case $PS1 in *{self._word}*) ;; *) {self._tell(PROMPT_LOST)} ;; esac"
        before = f"{self._tell(RUN_BEGINS)}; {_print(begin)}"
        # What `set -x` tells of our own words goes nowhere.
        return f"{before}; . {self._script}; {{ {self._tell(RUN_ENDED)}; {lost}; {_print(end)}; }} 2>/dev/null"

    def _tell(self, kind: str) -> str:
        return f'{_OWN} echo "{kind} $$ $?" >{self._notes}'


def notes_in(data: bytes) -> tuple[list[Note], bytes]:
    """All whole notes, and what may be the beginning of the next."""
    *lines, rest = data.split(b"\n")
    found = [_NOTE.fullmatch(line) for line in lines]
    return [Note(each[1].decode(), int(each[2]), int(each[3])) for each in found if each], rest[-_LONGEST_NOTE:]


def _print(text: str) -> str:
    """To the terminal, wherever the shell's own output goes by now."""
    escaped = text.replace("\x1b", "\\033").replace("\x07", "\\007")
    return f"{_OWN} printf '{escaped}' >/dev/tty"

"""A real tmux with a server of its own: what it shows of some bytes, and what it types for a key."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_LINES_OF_DEC = dict(zip(range(0x60, 0x7F), "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))
_SHIFTED = re.compile("\x0e([^\x0f]*)\x0f?")
_STYLE = re.compile("\x1b\\[[0-9;:]*m|\x1b\\]8;[^\x1b]*\x1b\\\\")

THE_END = b"\x1b\\\x1b]2;%s\x07"
"""Ends whatever an unfinished sequence has left open, and sets a title: then all before it has been drawn."""


_NEXT = "<next>"
"""Typed behind each key."""


class Shown(NamedTuple):
    """A screen: its lines, without the blanks at their ends, its cursor, and the lines with their styles."""

    text: str
    cursor: tuple[int, int]
    styled: str = ""


class RealTmux:
    """``directory`` holds its socket and what its programs read; each program has a window of its own."""

    def __init__(self, directory: Path, columns: int, rows: int) -> None:
        self.size = columns, rows
        self._directory = directory
        self._command = [program("tmux"), "-u", "-f", "/dev/null", "-S", str(directory / "socket")]
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8"}
        os.mkfifo(directory / "hold")
        self._hold = os.open(directory / "hold", os.O_RDWR)  # as long as we have it open, so long its readers stay
        options = [f"set -g default-size {columns}x{rows}", "set -g default-shell /bin/sh", "set -g status off"]
        self.tell("new-session", "-d", "-x", str(columns), "-y", str(rows), "sleep 1000", ";", *_joined(options))

    def tell(self, *words: str) -> str:
        done = subprocess.run(
            [*self._command, *words], env=self._environment, stdout=subprocess.PIPE, check=True, timeout=30
        )
        return done.stdout.decode("utf-8", "replace")

    def close(self) -> None:
        self.tell("kill-server")
        os.close(self._hold)

    def screens(self, sequences: Sequence[bytes]) -> list[Shown]:
        """What each of them looks like, on a terminal of its own."""
        for number, sequence in enumerate(sequences):
            self._file(number).write_bytes(sequence + THE_END % b"done %d" % number)
        hold = self._directory / "hold"
        commands = [f"stty raw -echo; exec cat {self._file(each)} {hold}" for each in range(len(sequences))]
        script = self._directory / "script"
        script.write_text("".join(f"new-window -d {shlex.quote(command)}\n" for command in commands))
        self.tell("source-file", str(script))
        panes = self._panes(len(sequences))
        captured = self.tell(*_joined(f"capture-pane -p -e -t {pane}" for pane, _ in panes)).split("\n")
        rows = self.size[1]
        return [
            self._shown(captured[number * rows : (number + 1) * rows], cursor)
            for number, (_, cursor) in enumerate(panes)
        ]

    def typed(self, keys: Sequence[str], preface: str = "") -> list[bytes]:
        """What each of these sends to a program that says ``preface`` first (in printf's words)."""
        typed, script = self._directory / f"typed-{preface.isalnum()}", self._directory / "script"
        program = f"stty raw -echo; printf '%b' '{preface}\\033]2;ready\\007'; exec cat >{typed}"
        pane = self.tell("new-window", "-d", "-P", "-F", "#{pane_id}", program).strip()
        title = ("display-message", "-p", "-t", pane, "#{pane_title}")
        wait_until(lambda: "ready" in self.tell(*title) or None, deadline=10, what="a program in tmux")
        quoted = [key.replace("\\", "\\\\").replace('"', '\\"') for key in keys]
        script.write_text(
            "".join(f'send-keys -t {pane} -- "{key}"\nsend-keys -t {pane} -l {_NEXT}\n' for key in quoted)
        )
        self.tell("source-file", str(script))
        whole = wait_until(
            lambda: data if (data := typed.read_bytes()).count(_NEXT.encode()) == len(keys) else None,
            deadline=10,
            what="what tmux types",
        )
        return whole.split(_NEXT.encode())[:-1]

    def _file(self, number: int) -> Path:
        return self._directory / f"sequence-{number}"

    def _panes(self, count: int) -> list[tuple[str, tuple[int, int]]]:
        """The pane of each, and its cursor, once all are drawn."""
        form = "#{pane_title}|#{pane_id}|#{cursor_x}|#{cursor_y}"
        found: dict[str, list[str]] = {}

        def all_done() -> bool | None:
            for line in self.tell("list-panes", "-a", "-F", form).split("\n"):
                title, *rest = line.split("|")
                found[title] = rest
            return all(f"done {number}" in found for number in range(count)) or None

        wait_until(all_done, deadline=30, what="the screens of tmux")
        told = [found[f"done {number}"] for number in range(count)]
        return [(pane, (int(column), int(row))) for pane, column, row in told]

    def _shown(self, lines: list[str], cursor: tuple[int, int]) -> Shown:
        styled = _SHIFTED.sub(lambda found: found[1].translate(_LINES_OF_DEC), "\n".join(lines))
        text = "\n".join(line.rstrip() for line in _STYLE.sub("", styled).split("\n")).rstrip("\n")
        column, row = cursor
        # A cursor that waits to wrap stands on the last column, and for tmux behind it.
        return Shown(text, (min(column, self.size[0] - 1), row), styled.replace("\n", "\r\n"))


def _joined(commands: Iterable[str]) -> list[str]:
    """As the arguments of one call."""
    return [word for command in commands for word in (*shlex.split(command), ";")][:-1]

"""A program on a real terminal: tmux runs it, types its keys, and tells what a person would see."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self


class TmuxScreen:
    """``command`` on a terminal of so many columns and rows, with this process's environment."""

    def __init__(self, directory: Path, command: Sequence[str], columns: int, rows: int, *, cwd: Path) -> None:
        self._tmux = [program("tmux"), "-u", "-f", "/dev/null", "-S", str(directory / "tmux")]
        script = directory / "in-tmux"
        script.write_text(f"trap : INT\n{shlex.join(command)}\nprintf 'code %d' $?\nexec sleep 1000\n")
        size = ["-x", str(columns), "-y", str(rows)]
        options = ["set", "-g", "status", "off", ";", "set", "-g", "default-terminal", "screen-256color", ";"]
        self._tell(*options, "new-session", "-d", *size, "-c", str(cwd), f"exec sh {shlex.quote(str(script))}")

    def text(self) -> str:
        """Lines without the blanks at their ends."""
        return "\n".join(line.rstrip() for line in self._tell("capture-pane", "-p").split("\n")).rstrip("\n")

    def type(self, *keys: str) -> None:
        """As tmux names them."""
        self._tell("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tell("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def is_as_it_was(self) -> bool:
        """Whether no program has left it on its other screen, or without a cursor."""
        return self._tell("display-message", "-p", "#{alternate_on} #{cursor_flag}").split() == ["0", "1"]

    def wait_for(self, is_there: Callable[[str], object], what: str, seconds: float = 30) -> str:
        """The screen, once it is like that."""

        def probe() -> str | None:
            return shown if is_there(shown := self.text()) else None

        try:
            return wait_until(probe, deadline=seconds, what=what, longest_pause=0.1)
        except Exception:
            print(self.text())
            raise

    def _tell(self, *words: str) -> str:
        environment = {**os.environ, "TERM": "xterm-256color"}
        done = subprocess.run([*self._tmux, *words], env=environment, stdout=subprocess.PIPE, check=True, timeout=30)
        return done.stdout.decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell("kill-server")

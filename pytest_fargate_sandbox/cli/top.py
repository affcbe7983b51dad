"""``fargate-sandbox top``: a run of another terminal, while it goes on."""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.known_runs import find_run
from pytest_fargate_sandbox.cli.known_tasks import find_task
from pytest_fargate_sandbox.cli.own_terminal import is_at_terminal
from pytest_fargate_sandbox.cli.run_view import RunView
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.number_within import number_within
from pytest_fargate_sandbox.leaves.terminal_size import only_prints

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.cli.full_screen import FullScreen

SUMMARY = "show a run while it goes on: its machines, what they are at, and what they cost"
_KEYS = "up/down choose, s shell, x stop, q quit"
_WIDE = 200
"""Columns, where there is no terminal."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="how its id begins; else the newest")
    parser.add_argument(
        "-d",
        "--delay",
        type=number_within(0.1, 3600.0, "seconds"),
        default=1.0,
        metavar="SECONDS",
        help="look so often (1)",
    )
    parser.add_argument("--once", action="store_true", help="print it once, as where no terminal is, or a dumb one")


def run(arguments: Any) -> int:
    view = RunView(find_run(arguments.run_id or ""))
    if arguments.once or not is_at_terminal() or only_prints():
        view.look(time.time())
        print("\n".join(view.lines(_WIDE)))
        return 0
    from pytest_fargate_sandbox.cli.full_screen import FullScreen

    with FullScreen() as screen:
        _Top(view, screen).until_it_is_left(arguments.delay)
    return 0


class _Top:
    def __init__(self, view: RunView, screen: FullScreen) -> None:
        self._view = view
        self._screen = screen
        self._says = ""
        self._to_stop = ""
        """The task that a yes would stop."""

    def until_it_is_left(self, delay: float) -> None:
        look_at = 0.0
        while True:
            if time.monotonic() >= look_at:
                self._view.look(time.time())
                look_at = time.monotonic() + delay
            columns, rows = self._screen.size
            lines = self._view.lines(columns - 1, rows - 1)
            last = self._says or _KEYS
            self._screen.show([*lines, *[""] * (rows - 1 - len(lines)), last], chosen=self._view.chosen_line)
            for key in self._screen.keys(max(0.0, look_at - time.monotonic())):
                if not self._take(key):
                    return

    def _take(self, key: str) -> bool:
        """Whether it goes on."""
        self._says, to_stop, self._to_stop = "", self._to_stop, ""
        if to_stop:
            self._says = self._tried(lambda: _stop(to_stop)) if key == "y" else "it runs on"
        elif key in ("q", "Q"):
            return False
        elif key in _MOVES:
            self._view.choose(_MOVES[key])
        elif key in ("s", "\r", "\n"):
            self._says = self._of_a_task(self._open_shell)
        elif key == "x":
            self._says = self._of_a_task(self._ask_to_stop)
        return True

    def _of_a_task(self, act: Callable[[str], str]) -> str:
        task = self._view.chosen_task
        return self._tried(lambda: act(task)) if task else "there is no task here that lives"

    def _ask_to_stop(self, task: str) -> str:
        self._to_stop = task
        return f"stop {task[:8]}? y/n"

    def _open_shell(self, task: str) -> str:
        from pytest_fargate_sandbox.cli import shell

        with self._screen.away():
            shell.run(argparse.Namespace(task=task, user=None, record=None))
        return ""

    @staticmethod
    def _tried(act: Callable[[], str]) -> str:
        try:
            return act()
        except SandboxError as error:
            return str(error).partition("\n")[0]


def _stop(task: str) -> str:
    from pytest_fargate_sandbox.cli.stop import stop_known

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        stop_known(find_task(task))
    return said.getvalue().strip()


_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -10, "page down": 10, "home": -(10**9), "end": 10**9}

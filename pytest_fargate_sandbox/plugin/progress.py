"""One live line while sandboxes start, drawn beneath whatever pytest writes, by the one process that has the terminal.

pytest's own line may be half written when ours is drawn, so ours goes to the line below and the cursor goes back; and
since pytest would write over it, it is erased before each word of pytest's. It is drawn on a terminal only, not with
``-q``, not in CI, and not with ``-s``, where tests write past pytest and nobody knows where the cursor is.
"""

from __future__ import annotations

import os
import threading
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun

_EVERY_SEC = 0.5
_ERASE_BELOW = "\x1b[J"


class Progress:
    """Begins to look when the first test begins, and ends with the session."""

    def __init__(self, config: pytest.Config, run: PytestRun) -> None:
        self._config = config
        self._run = run
        self._line: _LiveLine | None = None
        self._over = threading.Event()

    def pytest_runtest_logstart(self) -> None:
        if self._line is None:
            terminal = self._config.pluginmanager.getplugin("terminalreporter")
            if terminal is not None and self._may_draw(terminal):
                # While a test runs, pytest's own stdout leads into its capture; this copy leads to the terminal.
                screen = os.fdopen(os.dup(terminal._tw._file.fileno()), "w", encoding="utf-8")
                self._line = _LiveLine(terminal._tw, screen)
                threading.Thread(target=self._draw, args=(self._line,), name="fargate-progress", daemon=True).start()

    def pytest_enter_pdb(self) -> None:
        self._end()

    def pytest_sessionfinish(self) -> None:
        self._end()

    def _may_draw(self, terminal: Any) -> bool:
        option = self._config.option
        writes_past = option.capture == "no" and not self._run.has_workers
        return bool(terminal.isatty and option.verbose >= 0 and not os.environ.get("CI") and not writes_past)

    def _end(self) -> None:
        self._over.set()
        if self._line is not None:
            self._line.close()

    def _draw(self, line: _LiveLine) -> None:
        while not self._run.begun:
            if self._over.wait(_EVERY_SEC):
                return
        from pytest_fargate_sandbox.leaves.shared_state import SharedState
        from pytest_fargate_sandbox.plugin.live_words import OnTheShelf, describe
        from pytest_fargate_sandbox.records.ledger import Ledger
        from pytest_fargate_sandbox.run.account_room import why_tests_wait

        ledger, state = Ledger(self._run.run_id), SharedState(self._run.directory)
        shelf = OnTheShelf(ledger)
        while not self._over.wait(_EVERY_SEC):
            entries = ledger.entries()
            full = why_tests_wait(state.read())
            line.show(describe(entries, time.time(), shelf.ready(entries), full))


class _LiveLine:
    """Stands between pytest's terminal writer and its file, and draws on ``screen``, which is the same terminal."""

    def __init__(self, writer: Any, screen: IO[str]) -> None:
        self._writer = writer
        self._file = writer._file
        self._screen = screen
        self._lock = threading.RLock()
        self._shown = ""
        writer._file = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with self._lock:
            self._erase()
            return int(self._file.write(text))

    def show(self, text: str) -> None:
        with self._lock:
            if text == self._shown or self._writer._file is not self:
                return
            self._erase()
            if text:
                column = self._writer.width_of_current_line + 1
                # Down to a new line, at the screen's end by scrolling; then up again, to where pytest was.
                self._draw(f"\n\r{text[: self._writer.fullwidth - 1]}\x1b[1A\x1b[{column}G")
                self._shown = text

    def close(self) -> None:
        with self._lock:
            self._erase()
            if self._writer._file is self:
                self._writer._file = self._file
                self._screen.close()

    def _erase(self) -> None:
        if self._shown:
            self._draw(_ERASE_BELOW)
            self._shown = ""

    def _draw(self, text: str) -> None:
        self._screen.write(text)
        self._screen.flush()

"""A live view while images build, tasks start or tests wait, drawn by the one process that has the terminal.

It is drawn on a terminal only, not on one that only prints (``TERM=dumb``), not with ``-q``, not in CI, and not with
``-s``, where tests write past pytest and nobody knows where the cursor is. With ``-v`` each worker has a line as well.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.terminal_size import only_prints

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.telling.live_lines import LiveLines
    from pytest_fargate_sandbox.run.live_words import Moment

_EVERY_SEC = 0.5
_FEW_ROWS = 6
"""Of a terminal that has no room for a line for each worker."""


class Progress:
    """Begins to look when the first test begins, and ends with the session."""

    def __init__(self, config: pytest.Config, run: PytestRun) -> None:
        self._config = config
        self._run = run
        self._lines: LiveLines | None = None
        self._over = threading.Event()
        self._began = 0.0
        self._done: set[str] = set()
        self._session: pytest.Session | None = None

    def pytest_runtest_logstart(self) -> None:
        if self._lines is None:
            terminal = self._config.pluginmanager.getplugin("terminalreporter")
            if terminal is not None and self._may_draw(terminal):
                from pytest_fargate_sandbox.plugin.telling.live_lines import LiveLines

                # While a test runs, pytest's own stdout leads into its capture; this copy leads to the terminal.
                screen = os.fdopen(os.dup(terminal._tw._file.fileno()), "w", encoding="utf-8", errors="replace")
                self._lines = LiveLines(terminal._tw, screen)
                self._began, self._session = time.monotonic(), terminal._session
                threading.Thread(target=self._draw, args=(self._lines,), name="fargate-progress", daemon=True).start()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._done.add(nodeid)

    def pytest_enter_pdb(self) -> None:
        self._end()

    def pytest_sessionfinish(self) -> None:
        self._end()

    def _may_draw(self, terminal: Any) -> bool:
        option = self._config.option
        writes_past = getattr(option, "capture", "no") == "no" and not self._run.has_workers
        looks_on = terminal.isatty and not os.environ.get("CI") and not only_prints()
        return bool(looks_on and option.verbose >= 0 and not writes_past)

    def _end(self) -> None:
        self._over.set()
        if self._lines is not None:
            self._lines.close()

    def _draw(self, lines: LiveLines) -> None:
        while not self._run.begun:
            if self._over.wait(_EVERY_SEC):
                return
        from pytest_fargate_sandbox.run.live_words import describe, worker_lines

        for moment in self._moments():
            columns, rows = lines.size
            told = describe(moment, columns - 1)
            if told and self._config.option.verbose > 0 and rows > _FEW_ROWS:
                lines.show([told, *worker_lines(moment, columns - 1, max(1, rows // 2))])
            else:
                lines.show([told] if told else [])

    def _moments(self) -> Iterator[Moment]:
        from pytest_fargate_sandbox.leaves.shared_state import SharedState
        from pytest_fargate_sandbox.records.ledger import Ledger
        from pytest_fargate_sandbox.run.account_room import why_tests_wait
        from pytest_fargate_sandbox.run.build_news import BuildNews
        from pytest_fargate_sandbox.run.live_words import Moment, OnTheShelf, left_sec

        ledger, state = Ledger(self._run.run_id), SharedState(self._run.directory)
        shelf, builds = OnTheShelf(ledger), BuildNews()
        while not self._over.wait(_EVERY_SEC):
            entries = ledger.entries()
            yield Moment(
                entries,
                time.time(),
                shelf.ready(entries),
                why_tests_wait(state.read()),
                builds.lines(entries),
                left_sec(time.monotonic() - self._began, len(self._done), self._all_of_them),
            )

    @property
    def _all_of_them(self) -> int:
        """xdist has it from its workers."""
        return int(getattr(self._session, "testscollected", 0) or 0)

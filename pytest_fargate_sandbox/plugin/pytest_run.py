"""What the processes of one pytest run have in common: an id, a directory for locks, and a secret to derive keys from.

The controller (or the only process) makes them and owns them; workers are told over xdist's own channel, so that the
secret is never on a disk. Nothing is made before somebody needs it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings
    from pytest_fargate_sandbox.records.ledger import Ledger
    from pytest_fargate_sandbox.records.reuse_book import ReuseBook

RUN: pytest.StashKey[PytestRun] = pytest.StashKey()
_KEY = "fargate_sandbox"
_REMOVE_SEC = 1.0
_SIGNED_IN = ".worker"


class PytestRun:
    """This run, as this process sees it."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self.settings = settings
        self._book: ReuseBook | None = None
        self._shared: dict[str, Any] | None = getattr(config, "workerinput", {}).get(_KEY)
        self.is_controller = self._shared is None
        """Whether this process outlives all others of the run and cleans up behind them."""

    @property
    def has_workers(self) -> bool:
        """Whether this process only hands out tests to others."""
        return self.is_controller and self._config.pluginmanager.hasplugin("dsession")

    @property
    def begun(self) -> bool:
        """Whether anybody has asked for what a run shares."""
        return self._shared is not None

    @property
    def worker(self) -> str:
        return str(getattr(self._config, "workerinput", {}).get("workerid", "main"))

    @property
    def run_id(self) -> str:
        return str(self._made["run_id"])

    @property
    def directory(self) -> Path:
        """Where the locks are; it goes with the run."""
        return Path(self._made["directory"])

    @property
    def secret(self) -> bytes:
        """What the keys of all sandboxes of this run are derived from."""
        return bytes.fromhex(self._made["secret"])

    @cached_property
    def ledger(self) -> Ledger:
        from pytest_fargate_sandbox.records.ledger import Ledger

        return Ledger(self.run_id)

    @property
    def has_ledger(self) -> bool:
        """Whether anybody has written into it. Asked of at every report: where it is was found once."""
        return self.begun and self.ledger.path.exists()

    @property
    def owner(self) -> dict[str, Any]:
        """The process that outlives all others of the run, as a ledger names it."""
        return dict(self._made["owner"])

    @property
    def workers(self) -> int:
        return int(getattr(self._config, "workerinput", {}).get("workercount", 1))

    @property
    def times_each_test(self) -> int:
        """How often each test runs: with ``--dist each``, once in every worker."""
        return self.workers if self._made["each"] else 1

    def take_name(self) -> None:
        """Have the name of ``--fargate-reuse``, before anything is made. Raises where another run has it."""
        name = self.settings.run["reuse"]
        option = self._config.option
        idle = option.collectonly or getattr(option, "setupplan", False)
        if name is None or idle or self._book is not None or not self.is_controller:
            return
        from pytest_fargate_sandbox.leaves.errors import ConfigError
        from pytest_fargate_sandbox.records.reuse_book import ReuseBook

        book = ReuseBook(name, self.run_id)
        try:
            book.hold()
        except ConfigError as error:
            raise pytest.UsageError(f"{self.settings.sources['run.reuse']}: {error}") from None
        self._book = book

    @property
    def reuse_book(self) -> ReuseBook | None:
        """What was left to this run, in the process that has its name."""
        return self._book

    def for_worker(self) -> dict[str, Any]:
        """What a worker is told: plain values, as xdist's channel takes them."""
        return dict(self._made)

    def sign_in(self) -> None:
        """Let the controller know of this worker."""
        from pytest_fargate_sandbox.leaves.process_identity import process_began

        pid = os.getpid()
        (self.directory / f"{pid}{_SIGNED_IN}").write_text(process_began(pid))

    def signed_in(self) -> list[int]:
        """The workers' processes that still run."""
        if not self.begun:
            return []
        from pytest_fargate_sandbox.leaves.process_identity import process_began

        files = {int(file.name.removesuffix(_SIGNED_IN)): file for file in self.directory.glob(f"*{_SIGNED_IN}")}
        return [pid for pid, file in files.items() if process_began(pid) == file.read_text()]

    def remove(self) -> None:
        """Again, as long as somebody's last step puts a file into it: a thread may outlive a second Ctrl-C."""
        if not (self.is_controller and self.begun):
            return
        from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until

        made = self._directory

        def probe() -> bool | None:
            return made.remove() or None

        with contextlib.suppress(WaitTimeout):
            wait_until(probe, deadline=_REMOVE_SEC, what="the end of the run's directory")

    @cached_property
    def _directory(self) -> TemporaryDirectory:
        from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory

        return TemporaryDirectory()

    @property
    def _made(self) -> dict[str, Any]:
        if self._shared is None:
            from pytest_fargate_sandbox.leaves.process_identity import this_process

            self._shared = {
                "run_id": f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}",
                "directory": str(self._directory.path),
                "secret": secrets.token_hex(32),
                "owner": this_process(),
                "each": self._config.getoption("dist", default="no") == "each",
            }
        return self._shared

"""What runs leave for the next one of the same name (``--fargate-reuse``), and which run has that name now.

Of each name there is a directory in the user's cache: a document with the machines that were left, whose keys lie with
those of kept tasks, and two locks. The kernel gives both back when a process ends, whatever ends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from typing import Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.lock_at_once import taken_at_once
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.leaves.times_in_words import clock
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_task
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.sandbox.task.stopping import stop_task

SLOTS = "slots"
"""What a machine is for: slots that tests share,"""
SESSION = "session"
"""or all tests of one worker."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LEAVING_SEC = 2.0
_NO_NEW_RUN = 0.75
"""After this part of its time to live no run takes a machine, so that each has the last quarter at least."""


def refuse_bad_name(name: str) -> None:
    """Raises ``ConfigError``: it becomes the name of a directory."""
    if not _NAME.match(name):
        raise ConfigError(
            f"{name!r} is no name for machines to be left under: expected up to 64 of A-Z a-z 0-9 . _ -, of which the "
            "first is a letter or a digit",
            key="reuse",
            value=name,
        )


class ReuseBook:
    """The book of one name. ``run_id`` is that of the run that reads and writes it."""

    def __init__(self, name: str, run_id: str) -> None:
        refuse_bad_name(name)
        self.name, self._run_id = name, run_id
        self._directory = cache_directory("reuse", name)
        self._state = SharedState(self._directory)
        self._holds: list[int] = []

    # --- whose the name is ------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The name is this run's until ``let_go``, or the end of this process. Raises ``ConfigError`` if it is not."""
        lock = self._open("run.lock")
        if not taken_at_once(lock):
            whose = _run_in(lock)
            os.close(lock)
            raise ConfigError(
                f"{self.name!r} is the name of {whose}, which still runs: wait for its end, or take another name",
                key="reuse",
                value=self.name,
            )
        self._holds.append(lock)
        self._outlast_workers()
        told = {"run_id": self._run_id, "pid": os.getpid(), "since": time.time()}
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(told).encode(), 0)

    def use(self) -> None:
        """This process, a worker, uses what was left until it ends."""
        lock = self._open("workers.lock")
        if taken_at_once(lock, fcntl.LOCK_SH):
            self._holds.append(lock)
        else:
            os.close(lock)

    def let_go(self) -> None:
        while self._holds:
            os.close(self._holds.pop())

    def _outlast_workers(self) -> None:
        """Of a run whose controller was killed workers live on for a moment, and may lease one more slot.

        One that is in a command takes as long as that; then it leases none, and what it has is taken from it by force.
        """
        lock = self._open("workers.lock")
        with contextlib.suppress(WaitTimeout):
            wait_until(lambda: taken_at_once(lock) or None, deadline=_LEAVING_SEC, what="the workers' end")
        os.close(lock)

    def _open(self, name: str) -> int:
        return os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    # --- what was left ------------------------------------------------------------------------------------------------

    def take(self, purpose: str, fit: str) -> KeptTask | None:
        """A machine that an earlier run has left, if one fits and has time left. It stays in the book."""
        with self._state.change() as document:
            asked = document.get("asked") or {}
            purposes = set(asked.get("purposes", ())) if asked.get("run") == self._run_id else set()
            document["asked"] = {"run": self._run_id, "purposes": sorted({*purposes, purpose})}
            rows: dict[str, Any] = document.setdefault("machines", {})
            for arn, row in list(rows.items()):
                if (row["purpose"], row["fit"]) != (purpose, fit) or row["run"] == self._run_id:
                    continue
                kept = kept_task(arn)
                if kept is None:
                    del rows[arn]
                elif kept.expires - time.time() > (1 - _NO_NEW_RUN) * kept.config.max_task_lifetime_sec:
                    row["run"] = self._run_id
                    return kept
        return None

    def leave(self, task_arn: str, purpose: str, fit: str) -> None:
        """For the next run that has the name."""
        with self._state.change() as document:
            rows = document.setdefault("machines", {})
            rows[task_arn] = {"purpose": purpose, "fit": fit, "run": self._run_id}

    def put_back(self, task_arn: str) -> None:
        """It was taken, and not used."""
        with self._state.change() as document:
            if task_arn in document.get("machines", {}):
                document["machines"][task_arn]["run"] = ""

    def drop(self, task_arn: str) -> None:
        """It is left to nobody."""
        with self._state.change() as document:
            document.get("machines", {}).pop(task_arn, None)

    def end_what_fits_no_more(self) -> None:
        """Stop what this run has found and not taken, of the purposes for which it has taken or launched any."""
        with self._state.change() as document:
            asked = document.pop("asked", None) or {}
            purposes = asked.get("purposes", ()) if asked.get("run") == self._run_id else ()
            rows: dict[str, Any] = document.get("machines", {})
            spare = [arn for arn, row in rows.items() if row["purpose"] in purposes and row["run"] != self._run_id]
        for arn in spare:
            kept = kept_task(arn)
            if kept is None or end_left(kept, f"no run of the name {self.name} has wanted it"):
                self.drop(arn)


def end_left(kept: KeptTask, why: str) -> bool:
    """Stop what was left, and forget its keys; False where it may still run."""
    try:
        aws = find_again(kept.place)
        stopped = aws is None or stop_task(aws, str(kept.place["cluster"]), kept.task_arn, why)
    except AwsError:
        return False
    if stopped:
        Ledger(kept.run_id).write(kept.ledger_entry, "stopped", task_arn=kept.task_arn)
        kept.forget()
    return stopped


def _run_in(descriptor: int) -> str:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return f"run {told['run_id']} (process {told['pid']}, since {clock(told['since'])})"
    except (ValueError, KeyError, TypeError):
        return "a run that has just begun"

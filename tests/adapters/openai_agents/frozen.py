"""A sandbox that stands still."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def frozen(session: Any) -> Iterator[None]:
    """Nothing runs in the container of its commands meanwhile."""
    pids = _processes_beside(session, f"sleep {secrets.randbelow(10**9) + 10**9}")
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _processes_beside(session: Any, command: str) -> list[int]:
    """As this machine knows them, all that run in the sandbox's container."""
    session._inner.sandbox.blocking.spawn(command.split())

    def line(process: Path) -> str:
        try:
            return (process / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            return ""

    def space(process: Path) -> str:
        try:
            return str((process / "ns/pid").readlink())
        except OSError:
            return ""

    its = wait_until(
        lambda: next((space(each) for each in list(Path("/proc").glob("[0-9]*")) if line(each) == command), None),
        deadline=30,
        what=command,
    )
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if space(process) == its]

"""The directory through which an engine and those who use it find each other.

``engine.json``   where the engine answers and with which credentials; there while it serves
``engine.lock``   an engine holds it alone from its start until its process ends, and says in it which process it is
``engine.err``    why it could not start
``users.lock``    every user holds a shared flock on it from before the engine starts; when the engine gets the
                  exclusive one, nobody is left. The kernel drops a lock with its process, however that ends
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.lock_at_once import taken_at_once
from pytest_fargate_sandbox.leaves.process_identity import this_process
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_LOOKERS_SEC = 1.0
"""Whoever looks whether an engine lives holds its lock for a moment."""


class StateDirectory:
    """The engine's side of it."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError`` where another engine has it, or everybody, or it cannot be made."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"{path} cannot be made ({error.strerror}): name another directory") from error
        if path.stat().st_mode & stat.S_IWOTH:  # /tmp, say, which is not to be closed to the others
            raise PermissionError(f"everybody may write to {path}: name a directory of your own")
        path.chmod(0o700)
        self._own = _take(path / "engine.lock")
        (path / "engine.err").unlink(missing_ok=True)
        self._users = os.open(path / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @property
    def is_there(self) -> bool:
        """Without it nobody can find the engine, nor enter a task that was kept."""
        return self.path.exists()

    def publish(self, facts: Mapping[str, Any]) -> None:
        write_private(self.path / "engine.json", json.dumps(facts))

    def complain(self, text: str) -> None:
        write_private(self.path / "engine.err", text)

    def withdraw(self) -> None:
        """Whoever comes now starts an engine of their own. Harmless when the directory itself is gone."""
        (self.path / "engine.json").unlink(missing_ok=True)

    def wait_for_last_user(self) -> None:
        """Blocks until nobody uses the engine; then nobody can begin to until ``admit_users`` or the process's end."""
        fcntl.flock(self._users, fcntl.LOCK_EX)

    def admit_users(self) -> None:
        fcntl.flock(self._users, fcntl.LOCK_UN)


def _take(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def probe() -> bool | None:
        return taken_at_once(descriptor) or None

    try:
        wait_until(probe, deadline=_LOOKERS_SEC, what="the lock of the engine", first_pause=0.001, longest_pause=0.02)
    except WaitTimeout:
        os.close(descriptor)
        raise FileExistsError(f"another engine has {path.parent}{_which(path)}") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(this_process()).encode())
    return descriptor


def _which(path: Path) -> str:
    with contextlib.suppress(ValueError, KeyError):  # one that begins may not have said it yet
        return f": process {json.loads(path.read_text())['pid']}"
    return ""

"""What one process tells another so that it carries on with a sandbox: plain JSON, and a path where it needs secrets.

The keys lie where those of kept tasks do. A state may come from anywhere, so what its path leads to is believed only if
it is a file of this user that nobody else could read or write, as ssh has it with its own keys.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError
from pytest_fargate_sandbox.records.kept_tasks import KeptTask
from pytest_fargate_sandbox.records.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 1
_WORDS = ("task_arn", "run_id", "ledger_entry", "keys")


def state_of(kept: KeptTask) -> dict[str, Any]:
    """Nothing in it is secret."""
    return {
        "version": _VERSION,
        "task_arn": kept.task_arn,
        "task_id": kept.task_id,
        "run_id": kept.run_id,
        "ledger_entry": kept.ledger_entry,
        "expires": kept.expires,
        "keys": str(kept.path),
    }


def kept_by(state: Mapping[str, Any]) -> KeptTask:
    """What ``state`` is about. Raises ``ConfigError`` if it is no state, ``SandboxError`` if its task is over."""
    if not hasattr(state, "get") or state.get("version") != _VERSION or not all(_is_word(state, key) for key in _WORDS):
        raise ConfigError(f"from_state: this is not what to_state() of this version gave: {state!r:.200}", key="state")
    path = Path(state["keys"])
    try:
        kept = KeptTask(**json.loads(_private_text(path)))
    except FileNotFoundError:
        raise SandboxError(f"the sandbox is over: {_how_it_ended(state)} (its keys were at {path})") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"from_state: {path} holds no keys of a sandbox: {error}", key="keys", value=str(path)
        ) from None
    if kept.task_arn != state["task_arn"]:
        raise ConfigError(
            f"from_state: {path} has the keys of {kept.task_arn}, not of {state['task_arn']}",
            key="keys",
            value=str(path),
        )
    return kept


def _is_word(state: Mapping[str, Any], key: str) -> bool:
    return isinstance(state.get(key), str) and bool(state[key])


def _private_text(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"from_state: the keys cannot be read: {error}", key="keys", value=str(path)) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(descriptor)
        raise ConfigError(f"from_state: {path} is not a file of this user alone", key="keys", value=str(path))
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return file.read()


def _how_it_ended(state: Mapping[str, Any]) -> str:
    entry = Ledger(state["run_id"]).entry_of(state["task_arn"])
    if entry is None or not entry.is_over:
        return f"{state['task_arn']} has ended, and the ledger does not say how"
    cause = entry.facts.get("cause")
    return f"{state['task_arn']} was stopped{f': {cause}' if cause else ' by whoever had it'}"

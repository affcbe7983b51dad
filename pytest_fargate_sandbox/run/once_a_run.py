"""Expensive work runs once for a run, in whichever process comes first; its failure is shared like its success."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.user_cache import write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def once(directory: Path, key: str, produce: Callable[[], Any]) -> Any:
    """``produce()``, a JSON value, made by the first who asks for ``key`` in this directory.

    Whoever asks meanwhile waits. If it failed, everybody gets the same error. An interrupt is nobody's failure: the
    next one who asks tries again.
    """
    from filelock import FileLock

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    outcome_path = directory / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    with FileLock(outcome_path.with_suffix(".lock")):
        if not outcome_path.exists():
            write_private(outcome_path, json.dumps(_outcome(produce)))
        outcome = json.loads(outcome_path.read_text(encoding="utf-8"))
    if "error" in outcome:
        raise SandboxError.from_dict(outcome["error"])
    return outcome["value"]


def _outcome(produce: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": produce()}
    except SandboxError as error:
        return {"error": error.to_dict()}
    except Exception as error:  # a bug, but every worker should show this one, and none should try in vain
        return {"error": SandboxError(f"{type(error).__name__}: {error}").to_dict()}

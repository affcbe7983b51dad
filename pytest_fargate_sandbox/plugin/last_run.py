"""What launches and tests took in the last run of this project, in pytest's own cache: the next one begins with it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_KEY = "fargate_sandbox/times"
_KINDS = 500
"""How many to remember; a test with an environment of its own is a kind of its own."""


def recall(config: pytest.Config) -> Any:
    """Whatever the cache has; nothing with ``-p no:cacheprovider``."""
    cache = getattr(config, "cache", None)
    return cache.get(_KEY, None) if cache is not None else None


def remember(config: pytest.Config, directory: Path) -> None:
    """``directory`` is the run's own, which its processes share."""
    from pytest_fargate_sandbox.leaves.shared_state import SharedState
    from pytest_fargate_sandbox.run.kind_notes import learnt

    cache = getattr(config, "cache", None)
    learned = learnt(SharedState(directory).read()) if cache is not None else {}
    if cache is not None and learned:
        before = recall(config)
        kept = (
            {kind: times for kind, times in before.items() if kind not in learned} if isinstance(before, dict) else {}
        )
        every = [*kept.items(), *learned.items()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pytest's own are enough where nothing can be written, and may be errors
            cache.set(_KEY, dict(every[-_KINDS:]))

"""``FARGATE_IMGE=…``: a variable that nobody reads, and that differs from one of ours by a slip.

Others have variables that begin with ``FARGATE_`` too; what is not nearly one of ours is theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.names import (
    ENV_ENGINE_DELAY,
    ENV_ENGINE_DIRECTORY,
    ENV_ENGINE_LOG,
    ENV_ENGINE_OPTIONS,
)
from pytest_fargate_sandbox.plugin.settings.option_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "FARGATE_"
_OF_THE_ENGINE = (ENV_ENGINE_DIRECTORY, ENV_ENGINE_OPTIONS, ENV_ENGINE_LOG, ENV_ENGINE_DELAY)
_ALIKE = 0.85
"""How much of a name is to be another's, the prefix apart: one slip in three letters, three in twenty."""


class UnreadVariableWarning(pytest.PytestWarning):
    """A variable that is nearly one of ours says nothing."""

    __module__ = __name__.partition(".")[0]


def tell_of_unread(config: pytest.Config, environ: Mapping[str, str]) -> None:
    """Where warnings are errors, a ``pytest.UsageError``."""
    try:
        for told in _unread(environ):
            config.issue_config_time_warning(UnreadVariableWarning(told), stacklevel=2)
    except UnreadVariableWarning as warning:
        raise pytest.UsageError(str(warning)) from None


def _unread(environ: Mapping[str, str]) -> Iterator[str]:
    ours = {*_OF_THE_ENGINE, *(option.variable for option in TABLE)}
    for name in sorted(environ):
        if name.upper().startswith(_PREFIX) and environ[name] and name not in ours:
            import difflib  # who has no such variable waits for nothing

            words = {each.removeprefix(_PREFIX): each for each in sorted(ours)}
            for word in difflib.get_close_matches(name[len(_PREFIX) :].upper(), words, n=1, cutoff=_ALIKE):
                yield f"nobody reads {name}; did you mean {words[word]}?"

"""What the sandboxes of tasks reach: by the task's own word, the option's, and else the internet, as tasks expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
from pytest_fargate_sandbox.plugin.settings import run_settings

if TYPE_CHECKING:
    from collections.abc import Callable


class TaskWarning(pytest.PytestWarning):
    """Something in a task's file that nobody reads, or that means something else than it seems to."""

    __module__ = __name__.partition(".")[0]


def in_its_network(make: Callable[..., Any], config: pytest.Config, tell: Callable[[str], None]) -> Callable[..., Any]:
    """``make``, for the keys of a task's place. Where public is not to be had it goes without, and ``tell`` hears why.

    No warning: where those are errors, some attempts would end with it, on a machine on which the task may well pass.
    """
    settings = config.stash[run_settings.SETTINGS]

    def made(**keys: Any) -> Any:
        keys.setdefault("network", settings.config.get("network") or "public")
        problem = _no_way_out(settings) if keys["network"] == "public" else ""
        if problem:
            del keys["network"]
            tell(problem)
        return make(**keys)

    return made


def _no_way_out(settings: run_settings.Settings) -> str:
    """Of the local engine; on AWS the subnets lead where they lead."""
    if settings.config["cluster"] != LOCAL_CLUSTER:
        return ""
    from pytest_fargate_sandbox.place.local_cluster import local_engine

    return local_engine().no_way_out

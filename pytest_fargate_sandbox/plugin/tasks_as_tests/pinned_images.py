"""The images that tasks name, by what their tags stood for when the run first had one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
from pytest_fargate_sandbox.plugin.pytest_run import RUN
from pytest_fargate_sandbox.plugin.settings import run_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def with_pinned_image(make: Callable[..., Any], config: pytest.Config) -> Callable[..., Any]:
    """``make``, for the keys of a task's place. The embedded engine has what this machine has, under whatever name."""
    if config.stash[run_settings.SETTINGS].config["cluster"] == LOCAL_CLUSTER:
        return make

    def made(**keys: Any) -> Any:
        if "image" in keys:
            from pytest_fargate_sandbox.providers.aws.aws import connect
            from pytest_fargate_sandbox.providers.images.pinning import pinned

            endpoint_url = run_settings.base_config(config.stash[run_settings.SETTINGS]).endpoint_url
            keys["image"] = pinned(
                keys["image"],
                config.stash[RUN].directory / "once",
                lambda region: connect(region=region, endpoint_url=endpoint_url),
            )
        return make(**keys)

    return made

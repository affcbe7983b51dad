"""What other plugins and conftests can hook into. Each is called through ``item.ihook``, so a conftest's implementation
holds for the tests beneath it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox


def pytest_fargate_modify_task(item: pytest.Item, task: MutableMapping[str, Any]) -> None:
    """Change what a test's task is made of: ``task`` is the mapping of ``EcsFargateConfig``, to be changed in place."""


@pytest.hookspec(firstresult=True)
def pytest_fargate_image(item: pytest.Item) -> str | None:
    """Say which image a test's sandbox runs; the first answer that is not None wins over the marker and the options."""


def pytest_fargate_sandbox_started(item: pytest.Item, sandbox: Sandbox) -> None:
    """A sandbox of this test is up, and the test's own code has not run yet."""


def pytest_fargate_sandbox_stopped(item: pytest.Item, sandbox: Sandbox) -> None:
    """A sandbox of this test has been stopped; its task is gone or going."""

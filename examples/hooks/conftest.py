"""One use of each hook. They hold for the tests beneath this conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_fargate_sandbox import EcsFargateSandbox

stopped: list[str] = []


def pytest_fargate_modify_task(item: pytest.Item, task: dict[str, Any]) -> None:
    """Tell every sandbox which test it is for."""
    task["extra_env"] = {**(task["extra_env"] or {}), "TEST_NAME": item.name}


def pytest_fargate_image(item: pytest.Item) -> str | None:
    """Choose the image by the test's name; None leaves the choice to the marker and the options."""
    return "host" if "on_the_host" in item.name else None


def pytest_fargate_sandbox_started(item: pytest.Item, sandbox: EcsFargateSandbox) -> None:
    """Prepare every sandbox before its test sees it."""
    sandbox.exec(f"mkdir -p /tmp/workspace && echo {item.name} > /tmp/workspace/owner", check=True)


def pytest_fargate_sandbox_stopped(item: pytest.Item, sandbox: EcsFargateSandbox) -> None:
    """Take note of what is over."""
    stopped.append(f"{item.name}: {len(sandbox.history)} commands")

"""Inspect's own list of what a sandbox does, each of its 44 checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspect_ai.util._sandbox import self_check

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.from_thread import BlockingPortal

    from pytest_fargate_sandbox.adapters.inspect import FargateSandboxEnvironment
    from tests.adapters.inspect.conftest import Sandboxes

_NO_BAR_TO_ROOT = {
    "test_read_file_not_allowed",
    "test_write_binary_file_without_permissions",
    "test_write_text_file_without_permissions",
}
"""They take rights away from a file's owner, which root has none the less: no root's sandbox passes them."""


async def _failures(sandbox: FargateSandboxEnvironment) -> set[str]:
    return {name for name in self_check.__all__ if not await _passes(name, sandbox)}


async def _passes(name: str, sandbox: FargateSandboxEnvironment) -> bool:
    try:
        await getattr(self_check, name)(sandbox)
    except (AssertionError, OSError, RuntimeError) as error:
        print(f"{name}: {error}")
        return False
    return True


def test_there_are_as_many_checks_as_this_version_has() -> None:
    assert len(self_check.__all__) == 44


def test_root_passes_all_but_those_that_bar_nothing_to_root(
    sandboxes: Callable[..., Sandboxes], portal: BlockingPortal
) -> None:
    assert portal.call(_failures, sandboxes()["default"]) == _NO_BAR_TO_ROOT


def test_a_user_with_a_directory_of_his_own_passes_all(
    sandboxes: Callable[..., Sandboxes], portal: BlockingPortal
) -> None:
    sandbox = sandboxes(user="1000", working_dir="/work/of/mine")["default"]
    assert portal.call(sandbox.exec, ["id", "-u"]).stdout == "1000\n"
    assert portal.call(_failures, sandbox) == set()

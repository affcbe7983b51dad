"""Whom an image runs as: where that is not root, root sets up all the same, and agent and tests are that user.

A process becomes another user only if it is root, so that what an image's own user could not prepare, nobody could.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.tasks.task_places import is_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder

_ROOT = "0:0"
_USERS: dict[str, str] = {}
"""Of each image that this process has had."""


def made_as_root(
    make: Callable[..., Any], keys: Mapping[str, Any], stop: Callable[[Any], None]
) -> tuple[Any, str | None]:
    """A sandbox by these keys, and its image's user, if not root: that is seen in a first one, which is stopped."""
    image = str(keys.get("image") or keys["environment"])
    if image not in _USERS:
        sandbox = make(**keys)
        try:
            _USERS[image] = _user_in(sandbox)
        except BaseException:
            stop(sandbox)
            raise
        if _USERS[image].startswith("0:"):
            return sandbox, None
        stop(sandbox)
    if _USERS[image].startswith("0:"):
        return make(**keys), None
    return make(**keys, user="0"), _USERS[image]


def named_users(folder: TaskFolder) -> set[str]:
    """Who a task says is to act in its agent's sandbox."""
    named: set[str] = set()
    for step in (None, *folder.config.steps):
        part = step or folder.config
        users = [part.agent.user, *(hook.user for hook in part.verifier.collect)]
        users += [part.verifier.user] if is_shared(folder, step) else []
        named |= {str(user) for user in users if user is not None}
    return named


def _user_in(sandbox: Any) -> str:
    """Its numbers: a name need not stand in the image's list of users."""
    told = str(sandbox.exec('echo "$(id -u):$(id -g)"').stdout).strip()
    return told if told.replace(":", "", 1).isdigit() else _ROOT

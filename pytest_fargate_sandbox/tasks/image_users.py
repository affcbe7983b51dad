"""Whom an image runs as: where that is not root, root sets up all the same, and agent and tests are that user.

A process becomes another user only if it is root, so that what an image's own user could not prepare, nobody could.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ROOT = "0:0"
_USERS: dict[str, str] = {}
"""Of each image that this process has had."""


def made_as_root(make: Callable[..., Any], keys: Mapping[str, Any]) -> tuple[Any, str | None]:
    """A sandbox by these keys, and its image's user, if not root: that is seen in a first one, which is stopped."""
    image = str(keys.get("image") or keys["environment"])
    if image not in _USERS:
        sandbox = make(**keys)
        _USERS[image] = _user_in(sandbox)
        if _USERS[image].startswith("0:"):
            return sandbox, None
        sandbox.stop()
    if _USERS[image].startswith("0:"):
        return make(**keys), None
    return make(**keys, user="0"), _USERS[image]


def _user_in(sandbox: Any) -> str:
    """Its numbers: a name need not stand in the image's list of users."""
    told = str(sandbox.exec('echo "$(id -u):$(id -g)"').stdout).strip()
    return told if told.replace(":", "", 1).isdigit() else _ROOT

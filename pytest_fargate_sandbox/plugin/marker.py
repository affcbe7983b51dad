"""``@pytest.mark.fargate(...)``: what its keys may be, and which of several marks holds.

A mark on a parameter beats the function's, which beats the class's, which beats the module's; ``env`` and ``files``
are merged, every other key is replaced. A mark is checked when tests are collected and found wanting when its test
is set up, so that this one test alone has the error, in every process.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin.options import KEEP
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_MERGED = ("env", "files")
_MISTAKE: pytest.StashKey[Exception] = pytest.StashKey()


def fargate(
    *,
    image: str | None = None,
    environment: str | None = None,
    cpu: int | str | None = None,
    memory: int | str | None = None,
    ttl: int | None = None,
    mode: str | None = None,
    keep: str | None = None,
    env: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    outside: Sequence[Any] | None = None,
    exec_timeout: float | None = None,
    retries: int | None = None,
) -> dict[str, Any]:
    """The marker's arguments, by calling it with them."""
    given = {key: value for key, value in locals().items() if value is not None}
    if image is not None and environment is not None:
        raise wrong("image", image, "image or environment, not both")
    for key, value in given.items():
        problem = _CHECKS[key](value)
        if problem:
            raise wrong(key, value, problem)
    return given


KEYS = tuple(inspect.signature(fargate).parameters)


def wrong(key: str, value: Any, expected: str) -> Exception:
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    return ConfigError(f"fargate({key}={value!r}): expected {expected}", key=key, value=value, allowed=expected)


def checked(args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keys of one mark; a ``ConfigError`` that says where it stands if they are wrong."""
    from pytest_fargate_sandbox.leaves.config import nearest
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    __tracebackhide__ = True  # who called the factory sees the own line
    if args:
        raise ConfigError(f"{where}: fargate takes keywords only, not {args[0]!r}", value=args[0])
    for key in kwargs:
        if key not in KEYS:
            hint = nearest(key, KEYS)
            raise ConfigError(
                f"{where}: fargate has no key {key!r}{hint} (allowed: {', '.join(KEYS)})",
                key=key, value=kwargs[key], allowed=", ".join(KEYS),
            )  # fmt: skip
    try:
        return fargate(**kwargs)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", **error.context) from None


def keys_of(item: pytest.Item) -> dict[str, Any]:
    """What all of an item's marks say together."""
    merged: dict[str, Any] = {}
    for mark in reversed(_nearest_first(item)):
        overlay(merged, checked(mark.args, mark.kwargs, item.nodeid))
    return merged


def note_mistakes(items: list[pytest.Item]) -> None:
    """Look at all marks, and keep what is wrong for the setup of the one test that it concerns."""
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    for item in items:
        try:
            keys_of(item)
        except ConfigError as error:  # noqa: PERF203
            item.stash[_MISTAKE] = error


def mistake_in(item: pytest.Item) -> Exception | None:
    """What is wrong with the item's marks."""
    return item.stash.get(_MISTAKE, None)


def overlay(keys: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Put ``over`` on top of ``keys``, in place; ``image`` and ``environment`` replace each other."""
    for key, value in over.items():
        keys[key] = {**keys.get(key, {}), **value} if key in _MERGED else value
        if key == "image":
            keys.pop("environment", None)
        elif key == "environment":
            keys.pop("image", None)
    return keys


def _nearest_first(item: pytest.Item) -> list[pytest.Mark]:
    """pytest yields a function's marks before its parameter's; the parameter is the nearer one."""
    marks = list(item.iter_markers("fargate"))
    callspec = getattr(item, "callspec", None)
    own = [mark for mark in marks if any(mark is each for each in (callspec.marks if callspec else ()))]
    return own + [mark for mark in marks if not any(mark is each for each in own)]


def _is_string(value: Any) -> str:
    return "" if isinstance(value, str) and value else "a string"


def _is_directory(value: Any) -> str:
    return "" if isinstance(value, (str, Path)) and str(value) else "the path of a directory with a Dockerfile"


def _is_whole(value: Any) -> str:
    good = isinstance(value, (int, str)) and not isinstance(value, bool) and str(value).isdigit()
    return "" if good else "a whole number"


def _is_positive_whole(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return "" if good else "a whole number above 0"


def _is_positive(value: Any) -> str:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return "" if good else "a number above 0"


def _is_count(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if good else "0 or more"


def _is_one_of(choices: Collection[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return ""
        from pytest_fargate_sandbox.leaves.config import nearest

        return " or ".join(map(repr, choices)) + nearest(str(value), list(choices))

    return check


def _is_mapping(value: Any) -> str:
    good = isinstance(value, Mapping) and all(isinstance(name, str) and name for name in value)
    return "" if good else "a mapping whose keys are strings"


def _is_environment(value: Any) -> str:
    good = not _is_mapping(value) and all(isinstance(each, str) for each in value.values())
    return "" if good else "a mapping of strings to strings"


def _are_endpoints(value: Any) -> str:
    good = isinstance(value, (list, tuple)) and all(_is_endpoint(each) for each in value)
    return "" if good else "a list of OutsideEndpoint or (url, env_var)"


def _is_endpoint(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) == 2 and all(isinstance(part, str) for part in value)
    return isinstance(getattr(value, "url", None), str) and isinstance(getattr(value, "env_var", None), str)


_CHECKS: dict[str, Callable[[Any], str]] = {
    "image": _is_string,
    "environment": _is_directory,
    "cpu": _is_whole,
    "memory": _is_whole,
    "ttl": _is_positive_whole,
    "mode": _is_one_of(MODES),
    "keep": _is_one_of(KEEP),
    "env": _is_environment,
    "files": _is_mapping,
    "outside": _are_endpoints,
    "exec_timeout": _is_positive,
    "retries": _is_count,
}

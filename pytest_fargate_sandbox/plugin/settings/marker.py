"""``@pytest.mark.fargate(...)``: what its keys may be, and which of several marks holds.

A mark on a parameter beats the function's, which beats the class's, which beats the module's; ``env`` and ``files``
are merged, every other key is replaced. A mark is checked when tests are collected and found wanting when its test
is set up, so that this one test alone has the error, in every process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.fargate_rules import STORAGE_GIB
from pytest_fargate_sandbox.leaves.image_reference import IMAGE_REFERENCE, is_image_reference
from pytest_fargate_sandbox.leaves.names import LONGEST_TTL_SEC
from pytest_fargate_sandbox.leaves.text_of import TEXT, text_of
from pytest_fargate_sandbox.plugin.settings import vocabulary
from pytest_fargate_sandbox.plugin.settings.option_table import ARTIFACTS_WHEN, KEEP, NETWORKS
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_MERGED = ("env", "files")
_MISTAKE: pytest.StashKey[Exception] = pytest.StashKey()


def wrong(key: str, value: Any, expected: str) -> Exception:
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    return ConfigError(f"fargate({key}={value!r:.300}): expected {expected}", key=key, value=value, allowed=expected)


def checked(args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keys of one mark; a ``ConfigError`` that says where it stands if they are wrong."""
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    if args:
        raise ConfigError(f"{where}: fargate takes keywords only, not {args[0]!r}", value=args[0])
    try:
        return _checked(dict(vocabulary.in_our_words(kwargs)))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", **error.context) from None
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    except Exception as error:  # a value's own: it concerns this test alone
        raise ConfigError(f"{where}: {type(error).__name__}: {error}") from error


def _checked(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    for key in kwargs:
        if key not in KEYS:
            raise _unknown(key, kwargs[key])
    given = {key: kwargs[key] for key in KEYS if kwargs.get(key) is not None}
    if "image" in given and "environment" in given:
        raise wrong("image", given["image"], "image or environment, not both")
    for key, value in given.items():
        fits, expected = _CHECKS[key]
        if not fits(value):
            if key == "env":
                raise _wrong_env(value)
            raise wrong(key, value, expected if isinstance(expected, str) else _one_of(expected, value))
    if "env" in given:
        given["env"] = {name: text_of(value) for name, value in given["env"].items()}
    return given


def _wrong_env(env: Any) -> Exception:
    """By types alone: values may be secret."""
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    key, wrong_one, expected = "env", env, "a mapping of names to strings"
    for name, value in env.items() if isinstance(env, Mapping) else ():
        if not isinstance(name, str) or not name:
            return wrong("a name in env", name, "a string, and not an empty one")
        if text_of(value) is None:
            key, wrong_one, expected = f"env[{name!r}]", value, TEXT
            break
    told = f"fargate({key}=…) is of type {type(wrong_one).__name__}: expected {expected}"
    return ConfigError(told, key=key, allowed=expected)


def _unknown(key: str, value: Any) -> Exception:
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.leaves.plain_values import nearest_or_all

    told = f"fargate has no key {key!r}{nearest_or_all(str(key), KEYS)}"
    return ConfigError(told, key=str(key), value=value, allowed=", ".join(KEYS))


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
            note_mistake(item, error)


def note_mistake(item: pytest.Item, error: Exception) -> None:
    """Have the item's setup raise it."""
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
    # https://github.com/pytest-dev/pytest/issues/10406
    marks = list(item.iter_markers("fargate"))
    callspec = getattr(item, "callspec", None)
    own = [mark for mark in marks if any(mark is each for each in (callspec.marks if callspec else ()))]
    return own + [mark for mark in marks if not any(mark is each for each in own)]


def _one_of(choices: Collection[str], value: Any) -> str:
    from pytest_fargate_sandbox.leaves.plain_values import nearest

    return " or ".join(map(repr, choices)) + nearest(str(value), list(choices))


def _is_number(value: Any, kind: Any = int) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) and name for name in value)


def _is_endpoint(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) == 2 and all(isinstance(part, str) for part in value)
    return isinstance(getattr(value, "url", None), str) and isinstance(getattr(value, "env_var", None), str)


def _is_glob(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value and ".." not in value.split("/")


def _is_relative_glob(value: Any) -> bool:
    return _is_glob(value) and not value.startswith("/") and value.strip("./") != ""


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, Path)) and bool(str(value))


TENANTS = ("agent", "verifier")
"""Of benchmark tasks: who is alone on a machine with one slot, where the other never is."""

_IS_WHOLE = (lambda value: _is_number(value, (int, str)) and str(value).isdigit(), "a whole number")

_CHECKS: dict[str, tuple[Callable[[Any], Any], str | Collection[str]]] = {
    "image": (lambda value: isinstance(value, str) and is_image_reference(value), IMAGE_REFERENCE),
    "environment": (
        lambda value: isinstance(value, (str, Path)) and str(value),
        "the path of a directory with a Dockerfile",
    ),
    "task": (lambda value: isinstance(value, (str, Path)) and str(value), "the path of a task folder"),
    "cpu": _IS_WHOLE,
    "memory": _IS_WHOLE,
    "storage": (lambda value: _is_number(value) and value in STORAGE_GIB, "21 to 200 (GiB); without it there are 20"),
    "ttl": (lambda value: _is_number(value) and value > 0, "a whole number above 0"),
    "container_port": (lambda value: _is_number(value) and 1 <= value <= 65535, "a port, 1 to 65535"),
    "mode": (lambda value: isinstance(value, str) and value in MODES, MODES),
    "network": (lambda value: isinstance(value, str) and value in NETWORKS, NETWORKS),
    "user": (lambda value: isinstance(value, str) and value, "a user's name or number"),
    "keep": (lambda value: isinstance(value, str) and value in KEEP, KEEP),
    "env": (
        lambda value: _is_mapping(value) and all(text_of(each) is not None for each in value.values()),
        "a mapping of names to strings",
    ),
    "files": (
        lambda value: (
            _is_mapping(value)
            and not any("\0" in path for path in value)
            and all(_is_path(each) for each in value.values())
        ),
        "a mapping of paths in the sandbox to local ones",
    ),
    "outside": (
        lambda value: isinstance(value, (list, tuple)) and all(_is_endpoint(each) for each in value),
        "a list of OutsideEndpoint or (url, env_var)",
    ),
    "exec_timeout": (
        lambda value: _is_number(value, (int, float)) and 0 < value <= LONGEST_TTL_SEC,
        f"a number above 0, at most {LONGEST_TTL_SEC}",
    ),
    "artifacts": (
        lambda value: isinstance(value, (list, tuple)) and all(_is_glob(each) for each in value),
        "a list of globs, without ..",
    ),
    "artifacts_when": (lambda value: isinstance(value, str) and value in ARTIFACTS_WHEN, ARTIFACTS_WHEN),
    "snapshot": (
        lambda value: _is_path(value) or (_is_mapping(value) and all(_is_path(each) for each in value.values())),
        "the path of a snapshot, or a mapping of directories of the sandbox to such paths",
    ),
    "allowed_changes": (
        lambda value: isinstance(value, (list, tuple)) and all(_is_relative_glob(each) for each in value),
        "a list of globs relative to the snapshot's directory, without ..",
    ),
    "slot": (lambda value: isinstance(value, bool) or value in TENANTS, "True or False"),
    "retries": (lambda value: _is_number(value) and value >= 0, "0 or more"),
}
"""For each key what fits, and what was expected of what does not: in words, or one of some."""

KEYS = tuple(_CHECKS)

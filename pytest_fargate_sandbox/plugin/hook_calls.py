"""Our hooks, as they are called: what somebody's implementation does wrong is told with the hook's name."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.plugin.settings.vocabulary import field_for, word_for

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pytest

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_IMAGE = "pytest_fargate_image"
_TASK = "pytest_fargate_modify_task"
_SHOWN = 100
"""Characters of what somebody gave in place of what was wanted."""


def as_hooks_have_it(item: pytest.Item, task: Mapping[str, Any]) -> EcsFargateConfig:
    """The config of ``task``, which maps all its fields, once the item's hooks have said what they want of it."""
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    wanted = {field: _own(value) for field, value in task.items()}
    image = _called(item, _IMAGE)
    if image is not None:
        wanted.update(image_template=_checked_image(image), environment_dir=None)
    before = {field: _own(value) for field, value in wanted.items()}
    for given in _called(item, _TASK, task=wanted):
        if given is not wanted:
            raise _wrong(_TASK, f"gives {_described(given)}", "nothing, for it changes its task in place")
    wanted = _by_fields(wanted, before)
    if wanted == before:
        return EcsFargateConfig.from_dict(wanted)
    try:
        return _with_a_way_in(EcsFargateConfig.from_dict(wanted))
    except ConfigError as error:
        _with_a_way_in(EcsFargateConfig.from_dict(before))  # what was wrong without the hook is none of its doing
        raise ConfigError(f"{_TASK}: {error}", **error.context) from None


def _with_a_way_in(config: EcsFargateConfig) -> EcsFargateConfig:
    """What a launch would look at as well, and tell as if an option were wrong."""
    from pytest_fargate_sandbox.leaves.plain_values import wrong
    from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_of

    if not config.ssm_config:  # which may say both
        if not config.cluster:
            raise wrong("cluster", config.cluster, "an ECS cluster, or local for the embedded engine")
        mode_of(config)
    return config


def tell_started(item: pytest.Item, sandbox: Any) -> None:
    _called(item, "pytest_fargate_sandbox_started", sandbox=sandbox)


def tell_stopped(item: pytest.Item, sandbox: Any) -> None:
    _called(item, "pytest_fargate_sandbox_stopped", sandbox=sandbox)


def _called(item: pytest.Item, name: str, **given: Any) -> Any:
    """What it gives, or all of them give. Nobody waits for one that is ``async``: it has done nothing."""
    results = getattr(item.ihook, name)(item=item, **given)
    for result in results if isinstance(results, list) and name != _IMAGE else [results]:
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise _wrong(name, "is an async function", "one that does its work when it is called")
    return results


def _checked_image(image: Any) -> str:
    from pytest_fargate_sandbox.leaves.image_reference import IMAGE_REFERENCE, is_image_reference

    if not isinstance(image, str) or not is_image_reference(image):
        raise _wrong(_IMAGE, f"gives {_described(image)}", f"{IMAGE_REFERENCE}, or None")
    return image


def _by_fields(task: Mapping[Any, Any], fields: Collection[str]) -> dict[str, Any]:
    """A hook may have said some of them by the words of the marker. One that it removed is as where nobody said it."""
    said = {field: value for field, value in task.items() if field in fields}
    for word, value in task.items():
        if word not in fields:
            if field_for(word) not in fields:
                raise _no_such_key(word, value, fields)
            said[field_for(word)] = value
    return said


def _no_such_key(key: Any, value: Any, fields: Collection[str]) -> Exception:
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.leaves.plain_values import nearest_or_all

    words = [*map(word_for, fields)]
    told = f"{_TASK}: unknown key {key}={value!r}{nearest_or_all(str(key), words, [*fields])}"
    return ConfigError(told, key=str(key), value=value, allowed=", ".join(words))


def _own(value: Any) -> Any:
    """The config is everybody's: what a hook changes within it concerns one test."""
    return copy.deepcopy(value) if isinstance(value, (dict, list)) else value


def _described(value: Any) -> str:
    said, kind = ascii(value), type(value).__name__
    if len(said) > _SHOWN:
        return f"a {kind}"
    return said if isinstance(value, str) else f"{said}, of type {kind}"


def _wrong(hook: str, what: str, expected: str) -> Exception:
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    return ConfigError(f"{hook} {what}: expected {expected}", key=hook, allowed=expected)

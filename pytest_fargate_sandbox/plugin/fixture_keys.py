"""Which of our fixtures a test asks for, and the keys of the sandbox that each makes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.plugin.settings import marker

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

OWN: Mapping[str, Mapping[str, Any]] = {
    "fargate_sandbox": {},
    "fargate_slot": {"slot": True},
    "fargate_agent": {"mode": "agent"},
}
"""Fixtures that give a test one sandbox of its own, and what each says of it that no mark can change."""
FIXTURES = {*OWN, "fargate_prepared", "fargate_sandbox_factory", "fargate_session_sandbox", "fargate_session_factory"}


def uses_fixtures(item: pytest.Item) -> bool:
    return bool(FIXTURES & set(getattr(item, "fixturenames", ())))


def keys_for(item: pytest.Item, fixture: str) -> dict[str, Any]:
    """The keys of the sandbox that ``fixture`` makes for the item: of marks, its parameter, itself; the last wins."""
    keys = marker.keys_of(item)
    callspec = getattr(item, "callspec", None)
    if fixture in OWN and callspec is not None and fixture in callspec.params:
        keys = with_parameter(keys, callspec.params[fixture])
    return {**keys, **OWN.get(fixture, {})}


def with_parameter(keys: dict[str, Any], parameter: Any) -> dict[str, Any]:
    """What an indirect parameter adds: a mapping of the marker's keys, or an image."""
    more = parameter if isinstance(parameter, dict) else {"image": parameter}
    return marker.overlay(keys, marker.checked((), more, "parameter of the fixture"))


def gets(item: pytest.Item, name: str) -> bool:
    """Whether the item gets our fixture: it asks for it, and every override asks for the fixture that it overrides."""
    asked = name in getattr(item, "fixturenames", ())
    return asked and all(name in override.argnames for override in definitions(item, name)[1:])


def definitions(item: pytest.Item, name: str) -> Any:
    return item._fixtureinfo.name2fixturedefs.get(name, ())  # type: ignore[attr-defined]

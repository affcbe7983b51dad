"""What each run of pytest would find out again, found out once, for all that begin as copies of a warm Python."""

from __future__ import annotations

import inspect
import sys
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_WITHOUT_SURPRISES = "_pytest", "pytest_fargate_sandbox", "xdist"
"""Packages whose modules and objects have no other fixtures by the time they are registered."""


def look_through() -> None:
    _read_distributions()
    _look_for_fixtures()
    # Whoever shows where an error arose asks of each module in which file it really is.
    inspect.getmodule(compile("", "nowhere", "exec"))


def _read_distributions() -> None:
    """Which have plugins, and how those are called in a run's header."""
    read = metadata.Distribution.entry_points.fget
    read_metadata = metadata.Distribution.metadata.fget
    known = {each._path: (read(each), read_metadata(each)) for each in metadata.distributions()}

    def entry_points(one: Any) -> Any:
        return known[one._path][0] if one._path in known else read(one)

    def told(one: Any) -> Any:
        return known[one._path][1] if one._path in known else read_metadata(one)

    metadata.Distribution.entry_points = property(entry_points)
    metadata.Distribution.metadata = property(told)


def _look_for_fixtures() -> None:
    """Of a plugin's module, those alone are looked at then; of an object whose class has none, nothing."""
    from _pytest.fixtures import FixtureManager

    look = FixtureManager.parsefactories
    of_modules = {
        id(module): _with_fixtures_alone(module)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in _WITHOUT_SURPRISES
    }
    of_class = _finder()

    def look_there(manager: FixtureManager, *whose: Any, **where: Any) -> None:
        holder = where.get("holder")
        if isinstance(holder, ModuleType):
            where["holder"] = of_modules.get(id(holder), holder)
        elif holder is None or of_class(type(holder)):
            look(manager, *whose, **where)
            return
        else:
            return
        if vars(where["holder"]):
            look(manager, *whose, **where)

    FixtureManager.parsefactories = look_there  # type: ignore[method-assign]


def _with_fixtures_alone(module: ModuleType) -> ModuleType:
    from _pytest.fixtures import FixtureFunctionDefinition

    alone = ModuleType(module.__name__)
    vars(alone).clear()
    vars(alone).update(
        (name, each) for name, each in vars(module).items() if isinstance(each, FixtureFunctionDefinition)
    )
    return alone


def _finder() -> Callable[[type], bool]:
    from _pytest.fixtures import FixtureFunctionDefinition

    @cache
    def may_have_some(kind: type) -> bool:
        if kind.__module__.partition(".")[0] not in _WITHOUT_SURPRISES:
            return True
        return any(isinstance(each, FixtureFunctionDefinition) for base in kind.__mro__ for each in vars(base).values())

    return may_have_some

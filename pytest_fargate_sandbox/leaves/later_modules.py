"""Modules that stand where another library imports them, and load when something is wanted of them: mostly never."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Later(ModuleType):
    """In place of the module ``name``; ``given`` is what it has already, anything else is the real one's."""

    def __init__(self, name: str, **given: Any) -> None:
        super().__init__(name)
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]  # or it would be asked itself
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def imported_later(*modules: Later) -> Iterator[None]:
    """Whoever imports one of these meanwhile gets it; who imports it afterwards gets the real one.

    What has been imported before stays what it is.
    """
    placed = [module for module in modules if module.__name__ not in sys.modules]
    for module in placed:
        sys.modules[module.__name__] = module
        package, _, name = module.__name__.rpartition(".")
        if package in sys.modules:  # as the import system does
            setattr(sys.modules[package], name, module)
    try:
        yield
    finally:
        for module in placed:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
            package, _, name = module.__name__.rpartition(".")
            if getattr(sys.modules.get(package), name, None) is module:
                delattr(sys.modules[package], name)  # or `from package import name` would find it for ever


def installed_version(name: str) -> str:
    """What ``importlib.metadata`` says, which takes 20 ms to load: its e-mail parser reads more than the version."""
    found = (each.name for path in sys.path for each in Path(path or ".").glob(f"{name}-*.dist-info"))
    version = next(found, "").removesuffix(".dist-info").removeprefix(f"{name}-")
    if version:
        return version
    return str(importlib.import_module("importlib.metadata").version(name))

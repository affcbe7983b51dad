"""Which versions of a harness its adapter is for: those that our extra of its name has."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version
from typing import NoReturn

from packaging.requirements import Requirement
from packaging.version import Version

_OURS = "pytest-fargate-sandbox"


def check_version(harness: str, extra: str) -> None:
    """Raises ``ImportError`` where another version is installed. A checkout that nobody installed tells none."""
    try:
        found, needed = version(harness), map(Requirement, requires(_OURS) or [])
    except PackageNotFoundError:
        return
    for each in needed:
        if each.name == harness and not each.specifier.contains(Version(found), prereleases=True):
            told = f"{harness} {found} is installed, and this version of {_OURS} is for {harness} {each.specifier}"
            raise ImportError(f"{told}: pip install '{_OURS}[{extra}]', or another version of it")


def missing(error: ModuleNotFoundError, extra: str, python: str) -> NoReturn:
    """``error`` with what to do."""
    told = f"{error}: this adapter needs what `pip install '{_OURS}[{extra}]'` brings, on Python {python} or newer"
    raise ModuleNotFoundError(told, name=error.name) from None

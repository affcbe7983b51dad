"""What is ours is imported as Python does it, and not by pytest's hook, which goes before.

The hook rewrites the assertions of all of a plugin's modules. We have none that a test would fail by, and what it made
is found again only where it may write beside the modules: for root's packages and another user, or with
PYTHONDONTWRITEBYTECODE, as in many an image, each worker of each run would compile all of ours anew.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

_OURS = __name__.partition(".")[0] + "."


class _AsPythonDoes:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
        return PathFinder.find_spec(name, path) if name.startswith(_OURS) else None


sys.meta_path.insert(0, _AsPythonDoes)

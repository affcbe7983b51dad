"""Import this before paramiko: half of paramiko's import is a library that its ssh_config reader seldom asks for.

``invoke`` runs the commands of ``Match exec`` lines there. Whoever uses it through paramiko, or imports it, gets it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from pytest_fargate_sandbox.leaves.garbage import collection_paused


class _Later(ModuleType):
    """Stands where the module would, and becomes it when something is wanted of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_paramiko() -> None:
    # https://github.com/paramiko/paramiko/blob/5.1.0/paramiko/config.py#L36
    if "paramiko" in sys.modules or "invoke" in sys.modules:
        return
    sys.modules["invoke"] = _Later("invoke")
    try:
        with collection_paused():
            import paramiko  # noqa: F401
    finally:
        del sys.modules["invoke"]


_import_paramiko()

"""Import this before paramiko: more than half of its import is libraries that it seldom asks for anything.

``invoke`` runs the commands of ``Match exec`` lines in its ssh_config reader, and ``importlib.metadata`` tells it its
own version. Whoever uses them through paramiko, or imports them, gets them.
"""

from __future__ import annotations

import sys

from pytest_fargate_sandbox.leaves.garbage import collection_paused
from pytest_fargate_sandbox.leaves.later_modules import Later, imported_later, installed_version


def _import_paramiko() -> None:
    # https://github.com/paramiko/paramiko/blob/5.1.0/paramiko/config.py#L36
    # https://github.com/paramiko/paramiko/blob/5.1.0/paramiko/__init__.py#L19
    if "paramiko" in sys.modules:
        return
    with imported_later(Later("invoke"), Later("importlib.metadata", version=installed_version)), collection_paused():
        import paramiko  # noqa: F401


_import_paramiko()

"""Locks between processes. Of each that is taken and given back filelock has a line: hundreds in a report at DEBUG."""

from __future__ import annotations

import logging

from filelock import FileLock, Timeout

__all__ = ["FileLock", "Timeout"]

_log = logging.getLogger("filelock")
if _log.level == logging.NOTSET:
    _log.setLevel(logging.WARNING)

"""The engine's log: a JSON object a line, so that calls, launches and leaks can be counted from it."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class CallJournal:
    """Appends to ``path`` (made 0600), or keeps silent without one. Each line is one write, so lines never mix."""

    def __init__(self, path: Path | None) -> None:
        self._descriptor = -1 if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def call(self, service: str, operation: str, status: int, seconds: float, **more: Any) -> None:
        self._write("call", service=service, operation=operation, status=status, ms=round(seconds * 1000, 2), **more)

    def task(self, arn: str, status: str, **more: Any) -> None:
        self._write("task", task=arn, status=status, **more)

    def engine(self, event: str, **more: Any) -> None:
        self._write("engine", event=event, **more)

    def error(self, where: str, text: str) -> None:
        self._write("error", where=where, text=text)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _write(self, kind: str, **fields: Any) -> None:
        if self._descriptor < 0:
            return
        line = json.dumps({"t": round(time.time(), 4), "kind": kind, **fields}, separators=(",", ":"))
        with self._lock:
            if self._descriptor >= 0:
                os.write(self._descriptor, line.encode() + b"\n")

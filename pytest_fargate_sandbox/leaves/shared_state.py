"""One JSON document that all processes of a run read and change, each change under a file lock."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.user_cache import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_SEC = 300.0
_POLL_SEC = 0.005  # a change takes a millisecond, measured; filelock's own 50 would be most of a wait


class SharedState:
    """``with state.change() as document:`` reads it, and writes it back unless the block raised.

    Where the directory is no more, the run is over: the document is empty, and what is written of it is nobody's.
    """

    def __init__(self, directory: Path, *, longest_sec: float = _LONGEST_SEC) -> None:
        """``longest_sec``: so long whoever changes it is waited for, and then it is a ``StartTimeout``."""
        from pytest_fargate_sandbox.leaves.file_lock import FileLock

        self._longest_sec = longest_sec
        self._path = directory / "state.json"
        self._lock = FileLock(directory / "state.lock")

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        if not self._path.parent.is_dir():  # which the lock would make again, for nobody to remove
            yield {}
            return
        from pytest_fargate_sandbox.leaves.file_lock import patiently

        what = f"what processes share in {self._path.parent}"
        with patiently(self._lock, what, longest_sec=self._longest_sec, poll_sec=_POLL_SEC):
            before = self._text()
            document: dict[str, Any] = json.loads(before) if before else {}
            yield document
            after = json.dumps(document)
            if after != before:
                write_private(self._path, after)

    def read(self) -> dict[str, Any]:
        """The document as it is; a file is replaced as a whole, so this needs no lock."""
        text = self._text()
        return json.loads(text) if text else {}

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

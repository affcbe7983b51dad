"""What a failed test leaves behind, under its name: the recordings of its terminals."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_fargate_sandbox.run.lease import Lease


class Artifacts:
    """``directory`` is where they go; None: nowhere."""

    def __init__(self, directory: str | None) -> None:
        self._directory = Path(directory) if directory else None

    def save(self, test: str, leases: Iterable[Lease]) -> list[Path]:
        """Where they are now. What cannot be written is a warning: a full disk here is no verdict on the test."""
        if self._directory is None:
            return []
        saved: list[Path] = []
        for name, text in _recordings(leases):
            path = self._directory / _file_name(test) / f"{_file_name(name)}.cast"
            if path in saved:  # the names of two terminals differ in what no file's name has
                path = path.with_suffix(f".{len(saved)}.cast")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                warnings.warn(f"a recording could not be saved: {error}", stacklevel=1)
            else:
                saved.append(path)
        return saved


def _recordings(leases: Iterable[Lease]) -> Iterator[tuple[str, str]]:
    for lease in leases:
        for terminal in lease.sandbox.terminals.all():
            yield f"{lease.task_id}-{terminal.name}", terminal.recording()


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.\[\]=-]+", "_", text)[-120:].strip(".") or "_"

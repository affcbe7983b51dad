"""Where what comes out of a sandbox is put here, under names that nobody in the sandbox chooses freely."""

from __future__ import annotations

import hashlib
import re
import shutil
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.printable import printable_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LONGEST_NAME = 200
_LONGEST_PATH = 1000
"""In bytes; file systems take 255 and 4096, of which the directory here needs some."""


class SavedFiles:
    """A ``Sink`` that makes ``directory`` anew: what an earlier attempt or run left there is not to be mistaken."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: IO[bytes] | None = None
        self.paths: list[Path] = []

    def begin(self) -> None:
        self.close()
        if self._directory.exists():
            shutil.rmtree(self._directory)
        self.paths = []

    def file(self, path: str) -> Callable[[bytes], object]:
        self.close()
        target = self._directory.joinpath(*safe_names(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        while target.exists():  # two names that differ in what no file's name has here
            target = target.with_name(f"{target.name}~")
        self._open = target.open("xb")
        self.paths.append(target)
        return self._open.write

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def give_up(self) -> None:
        """It cannot be written: what is there of the last one is no file of the sandbox's."""
        if self.paths:
            try:
                self.close()
            except OSError:
                pass  # what it had in its buffer goes with it
            self.paths.pop().unlink(missing_ok=True)


def safe_names(path: str) -> list[str]:
    """The names of directories and file below which it is saved: they lead nowhere else, and fit any file system."""
    names = [_safe(name) for name in path.split("/") if name not in ("", ".")] or ["_"]
    if len("/".join(names).encode()) <= _LONGEST_PATH:
        return names
    return ["_deep", f"{_digest(path)}-{names[-1][-100:]}"]


def _safe(name: str) -> str:
    told = printable_line(name).replace("\t", "\\t").replace("\\", "_")
    if told.strip(".") == "":
        told = "_" * len(told)
    raw = told.encode()
    if len(raw) <= _LONGEST_NAME:
        return told
    return f"{raw[: _LONGEST_NAME - 20].decode(errors='ignore')}-{_digest(name)}"


def directory_name(test: str) -> str:
    """Of a test: no two have the same, though not all that a test's name may have can stand there."""
    plain, bracket, parameters = test.partition("[")
    usual = re.sub(r"::|/", "_", plain) + bracket + parameters
    told = re.sub(r"[^\w.\[\]=-]+", "_", test)[-120:]
    told = told.encode()[-_LONGEST_NAME:].decode(errors="ignore").strip(".") or "_"
    return told if told == usual else f"{told}-{_digest(test)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]

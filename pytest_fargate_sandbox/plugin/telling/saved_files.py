"""Where what comes out of a sandbox is put here, under names that nobody in the sandbox chooses freely."""

from __future__ import annotations

import errno
import hashlib
import itertools
import re
import shutil
from typing import IO, TYPE_CHECKING, cast

from pytest_fargate_sandbox.leaves.printable import printable_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LONGEST_NAME = 200
_LONGEST_PATH = 1000
"""In bytes; file systems take 255 and 4096, of which the directory here needs some."""
_DEEPEST = 64
"""In directories: whoever removes them again may hold a descriptor for each."""

_OF_THE_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""What another name may help against."""


class SavedFiles:
    """A ``Sink`` that makes ``directory`` anew: what an earlier attempt or run left there is not to be mistaken."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: IO[bytes] | None = None
        self._again = itertools.count(1)  # no number is tried twice, or many of one name would take time without end
        self.paths: list[Path] = []

    def begin(self) -> None:
        self.close()
        if self._directory.exists():
            shutil.rmtree(self._directory)
        self.paths = []

    def file(self, path: str) -> Callable[[bytes], object]:
        self.close()
        names = safe_names(path)
        other = f"{_beginning(names[-1])}-{_digest(path)}"
        # The names of two, or of a file and a directory, may differ in what no name has here.
        target = self._made(names, _OF_THE_NAME) or self._made([*names[:-1], other], _OF_THE_NAME)
        while not target:
            plain = re.sub(r"[^\w.-]", "_", names[-1], flags=re.ASCII)[-40:]
            target = self._made([f"_again-{next(self._again)}-{plain}"], (errno.EEXIST,))
        self.paths.append(target)
        return cast("IO[bytes]", self._open).write

    def _made(self, names: list[str], forgiven: tuple[int, ...]) -> Path | None:
        target = self._directory.joinpath(*names)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._open = target.open("xb")
        except OSError as error:
            if error.errno not in forgiven:
                raise
            return None
        return target

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
    if len("/".join(names).encode()) <= _LONGEST_PATH and len(names) <= _DEEPEST:
        return names
    return ["_deep", f"{_digest(path)}-{names[-1].encode()[-100:].decode(errors='ignore')}"]


def _safe(name: str) -> str:
    told = printable_line(name).replace("\t", "\\t").replace("\\", "_")
    if told.strip(".") == "":
        told = "_" * len(told)
    return told if len(told.encode()) <= _LONGEST_NAME else f"{_beginning(told)}-{_digest(name)}"


def _beginning(name: str) -> str:
    """Which leaves room for what makes it another."""
    return name.encode()[: _LONGEST_NAME - 20].decode(errors="ignore")


def directory_name(test: str) -> str:
    """Of a test: no two have the same, though not all that a test's name may have can stand there."""
    plain, bracket, parameters = test.partition("[")
    usual = re.sub(r"::|/", "_", plain) + bracket + parameters
    told = re.sub(r"[^\w.\[\]=-]+", "_", test)[-120:]
    told = told.encode()[-_LONGEST_NAME:].decode(errors="ignore").strip(".") or "_"
    return told if told == usual else f"{told}-{_digest(test)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]

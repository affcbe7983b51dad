"""What is said of artifacts. The answer to each request is a row of frames, the last of which says how it ended.

A frame is as those of a command's output: ``FACTS`` is a ``Piece`` in JSON, ``DATA`` is bytes of the file whose facts
came before, or of the archive.
"""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message

FACTS = b"f"
DATA = b"d"

LONGEST_PATH = 4096
"""As the kernel takes it. What is deeper is told, and not looked at."""


class _Artifacts(Message):
    """``root`` is the workspace that is not left; empty: the whole container."""

    IS_OF_FILES = True
    LESSON = "artifacts.artifact_verbs"
    BOUNDS: "tuple[str, ...]" = ()
    root: str

    def check(self) -> None:
        for name in self.BOUNDS:
            if getattr(self, name) < 0:
                raise Failure("bad_request", "%s: %s cannot be negative" % (self.VERB, name))


class ReadArtifact(_Artifacts):
    """The facts of a file, and no more than so many of its bytes."""

    VERB = "read-artifact"
    BOUNDS = ("most_bytes",)
    path: str
    most_bytes: int
    FIELDS = {"root": (str, ""), "path": (str, REQUIRED), "most_bytes": (int, REQUIRED)}


class ListArtifacts(_Artifacts):
    """The facts of what is in a directory, or of a file."""

    VERB = "list-artifacts"
    BOUNDS = ("most_entries",)
    path: str
    recursive: bool
    most_entries: int
    FIELDS = {
        "root": (str, ""),
        "path": (str, REQUIRED),
        "recursive": (bool, False),
        "most_entries": (int, REQUIRED),
    }


class PackArtifacts(_Artifacts):
    """A tar of it, compressed by gzip, and never more than ``most_bytes`` of that."""

    VERB = "pack-artifacts"
    BOUNDS = ("most_bytes", "most_entries")
    path: str
    most_bytes: int
    most_entries: int
    FIELDS = {
        "root": (str, ""),
        "path": (str, REQUIRED),
        "most_bytes": (int, REQUIRED),
        "most_entries": (int, REQUIRED),
    }


class CollectArtifacts(_Artifacts):
    """The files that fit any of ``globs``, each no longer than ``each_bytes``."""

    VERB = "collect-artifacts"
    BOUNDS = ("each_bytes", "most_bytes", "most_entries")
    globs: "list[str]"
    each_bytes: int
    most_bytes: int
    most_entries: int
    FIELDS = {
        "root": (str, ""),
        "globs": (list, REQUIRED),
        "each_bytes": (int, REQUIRED),
        "most_bytes": (int, REQUIRED),
        "most_entries": (int, REQUIRED),
    }


class Piece(Message):
    """A file or a directory that was found; or, with ``why``, what is wrong with it.

    The ``last`` one is of all: whether there was ``more`` than was given, and of an archive its true ``size`` and its
    ``count`` of members; of globs those that fit nothing.
    """

    LONGEST = 256 * 1024
    path: str
    is_dir: bool
    size: int
    mtime: float
    why: str
    last: bool
    more: bool
    count: int
    unmatched: "list[str]"
    FIELDS = {
        "path": (str, ""),
        "is_dir": (bool, False),
        "size": (int, 0),
        "mtime": ((int, float), 0.0),
        "why": (str, ""),
        "last": (bool, False),
        "more": (bool, False),
        "count": (int, 0),
        "unmatched": (list, []),
    }

"""What is asked of paths whose content does not travel."""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import OfFiles
from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.protocol import check_id


class _OfPaths(OfFiles):
    LESSON = "files.path_verbs"
    path: str
    FIELDS = dict(OfFiles.FIELDS, path=(str, REQUIRED))


class Stat(_OfPaths):
    """Of what a link leads to; without ``follow`` of the link itself."""

    VERB = "stat"
    follow: bool
    FIELDS = dict(_OfPaths.FIELDS, follow=(bool, True))


class PathFacts(Message):
    """``kind`` is file, directory, link or other; ``target`` is where a link leads."""

    FIELDS = {
        "kind": (str, REQUIRED),
        "size": (int, REQUIRED),
        "mode": (int, REQUIRED),
        "uid": (int, REQUIRED),
        "gid": (int, REQUIRED),
        "mtime_ns": (int, REQUIRED),
        "target": (str, ""),
    }
    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    target: str


class MakeDirectory(_OfPaths):
    """It may be there already; with ``parents`` those that are missing are made as well."""

    VERB = "make-directory"
    parents: bool
    mode: int
    FIELDS = dict(_OfPaths.FIELDS, parents=(bool, True), mode=(int, 0o777))

    def check(self) -> None:
        if not 0 <= self.mode <= 0o7777:
            raise Failure("bad_request", "make-directory: %o is no mode" % self.mode)


class Remove(_OfPaths):
    """A file, a link or an empty directory; with ``recursive`` all that is in it."""

    VERB = "remove"
    id: str
    recursive: bool
    FIELDS = dict(_OfPaths.FIELDS, id=(str, REQUIRED), recursive=(bool, False))

    def check(self) -> None:
        check_id(self.VERB, self.id)


class FindPaths(_OfPaths):
    """The paths below this directory that fit the glob, which names no directory outside of it; no link is followed."""

    VERB = "find-paths"
    glob: str
    FIELDS = dict(_OfPaths.FIELDS, glob=(str, REQUIRED))

    def check(self) -> None:
        parts = self.glob.split("/")
        if ".." in parts or not any(part not in ("", ".") for part in parts):
            raise Failure("bad_request", "find-paths: %.300r is no glob of paths below a directory" % self.glob)

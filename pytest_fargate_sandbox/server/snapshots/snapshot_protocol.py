"""What is said of snapshots, and of what has become of trees."""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import Fetch, ReadTree, WriteTree
from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.snapshots.snapshot_format import LONGEST_EXCLUDE

ADDED, MODIFIED, REMOVED, TOUCHED, UNSEEN = "added", "modified", "removed", "touched", "unseen"

_LESSON = "snapshots.snapshot_verbs"


class SaveSnapshot(ReadTree):
    """The answer's payload is a snapshot of this directory, without what fits any of ``exclude``."""

    LESSON = _LESSON
    VERB = "save-snapshot"
    exclude: "list[str]"
    FIELDS = dict(ReadTree.FIELDS, exclude=(list, REQUIRED))

    def check(self) -> None:
        ReadTree.check(self)
        check_globs(self.exclude)


class LoadSnapshot(WriteTree):
    """The payload is one that goes into this directory, all of it or nothing; ``set_ids`` are bits of its modes."""

    LESSON = _LESSON
    VERB = "load-snapshot"
    set_ids: bool
    FIELDS = dict(WriteTree.FIELDS, set_ids=(bool, True))


class FetchSnapshot(Fetch):
    """One that lies behind a URL. Its own end has the digest that it is checked by."""

    VERB = "fetch-snapshot"
    LESSON = _LESSON
    set_ids: bool
    FIELDS = dict(Fetch.FIELDS, set_ids=(bool, True))


class AskLoaded(Message):
    """What of the snapshot that was loaded by this id could not be kept."""

    LESSON = _LESSON
    VERB = "ask-loaded"
    id: str
    FIELDS = {"id": (str, REQUIRED)}


class Loaded(Message):
    LONGEST = 256 * 1024
    not_kept: "list[str]"
    more: int
    FIELDS = {"not_kept": (list, []), "more": (int, 0)}


class KnowTree(Message):
    """What this directory is like now is the tree of that name, without what fits any of ``exclude``.

    ``described``: it is like the payload says, of each entry its facts and its path (``known_tree.described``).
    """

    IS_OF_FILES = True
    LESSON = _LESSON
    VERB = "know-tree"
    path: str
    name: str
    exclude: "list[str]"
    described: bool
    FIELDS = {"path": (str, REQUIRED), "name": (str, REQUIRED), "exclude": (list, REQUIRED), "described": (bool, False)}

    def check(self) -> None:
        check_globs(self.exclude)


class CompareTree(Message):
    """The answer is a line for each difference between this directory and what it was like as the tree of that name.

    The trees of snapshots, by their digests, are known where these were saved or loaded. Without a name, it was empty.
    """

    IS_OF_FILES = True
    LESSON = _LESSON
    VERB = "compare-tree"
    path: str
    name: str
    FIELDS = {"path": (str, REQUIRED), "name": (str, "")}


class Difference(Message):
    """What was ``touched`` is modified if ``sha256`` is not that of its ``size`` bytes ``at`` there in the snapshot.

    The ``last`` line is none, but says whether there is ``more``.
    """

    how: str
    path: str
    why: str
    at: int
    size: int
    sha256: str
    last: bool
    more: bool
    FIELDS = {
        "how": (str, ""),
        "path": (str, ""),
        "why": (str, ""),
        "at": (int, 0),
        "size": (int, 0),
        "sha256": (str, ""),
        "last": (bool, False),
        "more": (bool, False),
    }


def check_globs(exclude: "list[str]") -> None:
    for pattern in exclude:
        parts = pattern.split("/")
        if pattern.startswith("/") or ".." in parts or not any(part not in ("", ".") for part in parts):
            raise Failure("bad_request", "exclude: %.300r is no path below the directory that is meant" % pattern)
    if sum(map(len, exclude)) > LONGEST_EXCLUDE:
        raise Failure("bad_request", "exclude: more than %d characters of globs" % LONGEST_EXCLUDE)

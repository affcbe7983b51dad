"""What is said of snapshots."""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import ReadTree, WriteTree
from pytest_fargate_sandbox.server.message import REQUIRED


class SaveSnapshot(ReadTree):
    """The answer's payload is a snapshot of this directory, without what fits any of ``exclude``."""

    VERB = "save-snapshot"
    exclude: "list[str]"
    FIELDS = dict(ReadTree.FIELDS, exclude=(list, REQUIRED))

    def check(self) -> None:
        ReadTree.check(self)
        for pattern in self.exclude:
            parts = pattern.split("/")
            if pattern.startswith("/") or ".." in parts or not any(part not in ("", ".") for part in parts):
                raise Failure("bad_request", "exclude: %.300r is no path below the directory that is saved" % pattern)


class LoadSnapshot(WriteTree):
    """The payload is one that goes into this directory, all of it or nothing."""

    VERB = "load-snapshot"

"""What is said of files and directories: a message for each verb, and the bytes of a file, or of a tar, as payload."""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.protocol import check_id, new_command_id

LATEST = 1 << 40
"""Seconds from 1970, both ways, that a file's time may be: what file systems hold, and ``os.utime`` can pass on."""

_NOTHING = type(None)

new_upload_id = new_command_id


class OfFiles(Message):
    """``user`` has the rights that count, and what is made; empty: the server's own."""

    IS_OF_FILES = True
    LESSON = "files.file_verbs"
    user: str
    FIELDS = {"user": (str, "")}


class _Read(OfFiles):
    path: str
    skip: int
    FIELDS = dict(
        OfFiles.FIELDS,
        path=(str, REQUIRED),
        skip=(int, 0),
    )

    def check(self) -> None:
        if self.skip < 0:
            raise Failure("bad_request", "%s: fewer bytes than none cannot be left out" % self.VERB)


class ReadFile(_Read):
    """The answer's payload is the file, without its first ``skip`` bytes; the digest is that of the whole."""

    VERB = "read-file"


class FileHead(Message):
    """The first line of a file's payload."""

    LONGEST = 4096
    FIELDS = {"mode": (int, REQUIRED), "mtime_ns": (int, REQUIRED)}
    mode: int
    mtime_ns: int


class WriteFile(OfFiles):
    """The payload is the file, without its first ``skip`` bytes, which came before.

    It appears under its name when all of it is there, or not at all. ``in_place``: a file that has the name gets the
    content, as a shell's ``>`` gives it: same inode, links, owner and rights, which must let it be written.
    """

    VERB = "write-file"
    id: str
    skip: int
    path: str
    in_place: bool
    mode: "int | None"
    mtime_ns: "int | None"
    FIELDS = dict(
        OfFiles.FIELDS,
        id=(str, ""),
        skip=(int, 0),
        path=(str, REQUIRED),
        in_place=(bool, False),
        mode=((int, _NOTHING), None),
        mtime_ns=((int, _NOTHING), None),
    )

    def check(self) -> None:
        _check_upload_id(self.VERB, self.id)
        if self.mode is not None and not 0 <= self.mode <= 0o7777:
            raise Failure("bad_request", "write-file: %o is no file mode" % self.mode)


class ListFiles(OfFiles):
    VERB = "list-files"
    path: str
    FIELDS = dict(
        OfFiles.FIELDS,
        path=(str, REQUIRED),
    )


class FileList(Message):
    """The names in a directory, in order of their bytes."""

    LONGEST = 16 * 1024 * 1024
    FIELDS = {"names": (list, REQUIRED)}
    names: "list[str]"


class ReadTree(_Read):
    """The same for a tar of what is in this directory."""

    VERB = "read-tree"


class WriteTree(OfFiles):
    """The same for a tar that goes into this directory, all of it or nothing."""

    VERB = "write-tree"
    id: str
    skip: int
    path: str
    FIELDS = dict(
        OfFiles.FIELDS,
        id=(str, ""),
        skip=(int, 0),
        path=(str, REQUIRED),
    )

    def check(self) -> None:
        _check_upload_id(self.VERB, self.id)


class Upload(Message):
    """Cut the connection by which the upload of this id comes, so that another can go on behind what came."""

    LESSON = OfFiles.LESSON
    VERB = "upload"
    id: str
    FIELDS = {"id": (str, REQUIRED)}


class Arrived(Message):
    """How much of it is here, or that all of it is and stands in its place."""

    FIELDS = {"offset": (int, 0), "landed": (bool, False)}
    offset: int
    landed: bool


class Fetch(OfFiles):
    """Get a file or a tar from a URL, check its digest, put it there.

    ``roots`` are certificates in PEM that count beside the image's own, of which there may be none.
    """

    VERB = "fetch"
    id: str
    url: str
    roots: str
    path: str
    sha256: str
    unpack: bool
    mode: "int | None"
    mtime_ns: "int | None"
    FIELDS = dict(
        OfFiles.FIELDS,
        id=(str, ""),
        url=(str, REQUIRED),
        roots=(str, ""),
        path=(str, REQUIRED),
        sha256=(str, REQUIRED),
        unpack=(bool, False),
        mode=((int, _NOTHING), None),
        mtime_ns=((int, _NOTHING), None),
    )

    def check(self) -> None:
        _check_upload_id(self.VERB, self.id)


def _check_upload_id(verb: str, upload_id: str) -> None:
    """An upload that comes again has the id of the first attempt; one that has none is made each time that it comes."""
    if upload_id:
        check_id(verb, upload_id)

"""What is asked where the sandbox is to put something somewhere itself."""

from pytest_fargate_sandbox.server.files.file_protocol import OfFiles
from pytest_fargate_sandbox.server.message import REQUIRED, Message


class Push(OfFiles):
    """Put what would be the payload of ``read-file``, or of ``read-tree``, there; less than ``at_least`` stays.

    ``roots`` are certificates in PEM that count beside the image's own.
    """

    VERB = "push"
    LESSON = "files.push_verbs"
    path: str
    tree: bool
    url: str
    roots: str
    at_least: int
    FIELDS = dict(
        OfFiles.FIELDS,
        path=(str, REQUIRED),
        tree=(bool, False),
        url=(str, REQUIRED),
        roots=(str, ""),
        at_least=(int, 0),
    )


class Pushed(Message):
    """Nothing, if it was too little."""

    FIELDS = {"size": (int, REQUIRED), "sha256": (str, REQUIRED)}
    size: int
    sha256: str

"""What is said of a container that is to be as new."""

from pytest_fargate_sandbox.server.message import REQUIRED, Message


class NoteStart(Message):
    """Nobody has used the container yet: this is what it is to be like."""

    VERB = "note-start"


class Renew(Message):
    """Begin to make it so, or only ask what has become of that; the answer comes after ``wait`` seconds at most."""

    VERB = "renew"
    begin: bool
    wait: float
    FIELDS = {"begin": (bool, REQUIRED), "wait": ((int, float), 0)}


class Renewed(Message):
    """``done`` once it was tried; ``why_not`` is a sentence about what cannot be undone, and empty if all was."""

    done: bool
    why_not: str
    FIELDS = {"done": (bool, REQUIRED), "why_not": (str, "")}

"""What the two ends say to each other: one request and one answer for each verb.

A call is ``POST /v<version>/<verb>`` with a bearer token. Its body is one line of JSON (the request below that has this
verb) and then, for some verbs, a payload of plain bytes. An answer is built the same way: one line of JSON, or a
payload, or, for a command, a row of frames. Payloads that matter travel chunked, with their SHA-256 as a trailer.

A command is known by an id that the *client* chooses. Whoever asks for an id again gets that command's state and its
output from any offset, and never a second run of it. What goes to its stdin says at which byte it begins, so it may
come again as well. An upload has an id too, and lands once.
"""

import os
import re
import struct

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.terminal_protocol import check_size

VERSION = 12
"""Of what is said below: whoever changes it makes it one more, and what is older says that it cannot follow."""

PREFIX = "/v%d/" % VERSION
HEALTH_PATH = "/health"
"""The same in all versions."""

DIGEST_TRAILER = "sha256"
FAILURE_TRAILER = "failure"
"""A stream that cannot be finished ends with this trailer, a failure in JSON, where its digest would have been."""

CODE_TIMED_OUT = 124
CODE_CANNOT_RUN = 126
CODE_NOT_FOUND = 127
CODE_SIGNAL = 128
"""A command that a signal killed has this plus the signal's number, as a shell says it."""

HEARTBEAT_SEC = 5.0
"""A running command that says nothing is heard of this often, so that a dead tunnel is told from a silent command."""

WRITE_SEC = 10.0
"""So long a command may take over its stdin until whoever writes is told how far it has come."""

_COMMAND_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


# --- text that names things -----------------------------------------------------------------------------------------
def encoded(text: str) -> bytes:
    """A path or an argument as the kernel takes it. Not ``os.fsencode``: under LANG=C, Python 3.6 knows only ASCII."""
    return text.encode("utf-8", "surrogateescape")


def decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# --- messages -------------------------------------------------------------------------------------------------------
_NUMBER = (int, float)
_NOTHING = type(None)


class Nothing(Message):
    """The answer of a verb that has nothing to say but that it is done."""


class Health(Message):
    """``memory_hidden``: whether the server's memory is closed to the code that it runs."""

    VERB = "health"
    FIELDS = {"version": (int, VERSION), "python": (str, ""), "pid": (int, 0), "memory_hidden": (bool, False)}


class Learn(Message):
    """The payload is source of ours that this server was not started with, and that is worth its way only if wanted.

    ``module`` is one of those that it holds; its ``requests`` are what can be said from then on.
    """

    VERB = "learn"
    module: str
    FIELDS = {"module": (str, REQUIRED)}


class Configure(Message):
    """The base environment of every later command. A None takes a variable away."""

    VERB = "configure"
    FIELDS = {"environment": (dict, REQUIRED)}
    environment: "dict[str, str | None]"


class _Start(Message):
    id: str
    command: "str | list[str]"
    cwd: "str | None"
    env: "dict[str, str | None]"
    user: "str | None"
    timeout: "float | None"
    FIELDS = {
        "id": (str, REQUIRED),
        "command": ((str, list), REQUIRED),
        "cwd": ((str, _NOTHING), None),
        "env": (dict, {}),
        "user": ((str, _NOTHING), None),
        "timeout": ((int, float, _NOTHING), None),
    }

    def check(self) -> None:
        check_id(self.VERB, self.id)
        if not self.command:
            raise Failure("bad_request", "%s: the command is empty" % self.VERB)
        if self.timeout is not None and self.timeout < 0:
            raise Failure("bad_request", "%s: a timeout cannot be negative" % self.VERB)


class Run(_Start):
    """Start a command and stay for its end: the answer is frames. The payload is all of its stdin."""

    VERB = "run"
    limit: "int | None"
    FIELDS = dict(_Start.FIELDS, limit=((int, _NOTHING), None))


class Spawn(_Start):
    """Start a command and leave it in the background, its stdin open; on a terminal, if that has any size."""

    VERB = "spawn"
    columns: int
    rows: int
    FIELDS = dict(_Start.FIELDS, columns=(int, 0), rows=(int, 0))

    def check(self) -> None:
        _Start.check(self)
        check_size(self.VERB, self.columns, self.rows)


class Spawned(Message):
    """``notes`` is the pipe beside its terminal: what is written to it comes as its stderr. ``script`` is its file.

    ``terminals`` is how many the sandbox has.
    """

    FIELDS = {"pid": (int, REQUIRED), "notes": (str, ""), "script": (str, ""), "terminals": (int, 0)}
    pid: int
    notes: str
    script: str
    terminals: int


class Attach(Message):
    """The output of a command from these offsets on, and its result; no longer than ``wait`` seconds if given.

    Of each stream so much as there is up to the ``limit``, and of that ``most`` bytes.
    """

    VERB = "attach"
    id: str
    stdout: int
    stderr: int
    wait: "float | None"
    limit: "int | None"
    most: "int | None"
    FIELDS = {
        "id": (str, REQUIRED),
        "stdout": (int, 0),
        "stderr": (int, 0),
        "wait": ((int, float, _NOTHING), None),
        "limit": ((int, _NOTHING), None),
        "most": ((int, _NOTHING), None),
    }

    def check(self) -> None:
        check_id(self.VERB, self.id)
        if self.stdout < 0 or self.stderr < 0:
            raise Failure("bad_request", "attach: an offset cannot be negative")


class Write(Message):
    """The payload goes to the stdin of a spawned command, from its byte ``offset`` on; ``end`` closes it behind that.

    Bytes that it has already are passed over. ``skip`` tells that those before the offset, if any are missing, were
    given up and will not come.
    """

    VERB = "write"
    id: str
    offset: int
    end: bool
    skip: bool
    FIELDS = {"id": (str, REQUIRED), "offset": (int, 0), "end": (bool, False), "skip": (bool, False)}

    def check(self) -> None:
        if self.offset < 0:
            raise Failure("bad_request", "write: an offset cannot be negative")


class Taken(Message):
    """Which byte of its stdin the command takes next: that behind the payload, unless it did not read in time."""

    FIELDS = {"offset": (int, REQUIRED)}
    offset: int


class Signal(Message):
    """Send a signal to a command: to its first process, its whole tree, or whoever reads what its terminal is typed.

    The last only if he still is of this process group, where one is given.
    """

    VERB = "signal"
    id: str
    signal: int
    tree: bool
    foreground: bool
    group: int
    FIELDS = {
        "id": (str, REQUIRED),
        "signal": (int, REQUIRED),
        "tree": (bool, False),
        "foreground": (bool, False),
        "group": (int, 0),
    }

    def check(self) -> None:
        if not 1 <= self.signal <= 64:
            raise Failure("bad_request", "signal: there is no signal %d" % self.signal)


class Result(Message):
    """How a command stands: still running, or ended with this code."""

    LONGEST = 128 * 1024
    """Two paths in it may be long, and six times as long as JSON."""

    running: bool
    return_code: "int | None"
    timed_out: bool
    oom_killed: bool
    oom_kills: int
    memory_limit: int
    could_not_begin: bool
    duration: float
    stdout_total: int
    stderr_total: int
    stdout_spool: "str | None"
    stderr_spool: "str | None"
    FIELDS = {
        "running": (bool, False),
        "return_code": ((int, _NOTHING), None),
        "timed_out": (bool, False),
        "oom_killed": (bool, False),
        "oom_kills": (int, 0),
        "memory_limit": (int, 0),
        "could_not_begin": (bool, False),
        "duration": (_NUMBER, 0.0),
        "stdout_total": (int, 0),
        "stderr_total": (int, 0),
        "stdout_spool": ((str, _NOTHING), None),
        "stderr_spool": ((str, _NOTHING), None),
    }


def check_id(verb: str, command_id: str) -> None:
    if not _COMMAND_ID.match(command_id):
        raise Failure("bad_request", "%s: an id is 1 to 64 of A-Z a-z 0-9 _ -, not %.80r" % (verb, command_id))


def new_command_id() -> str:
    return os.urandom(12).hex()


# --- frames: what a command's answer is made of -----------------------------------------------------------------------
STDOUT = b"o"
STDERR = b"e"
HEARTBEAT = b"k"
RESULT = b"r"

_FRAME_HEAD = struct.Struct(">cI")
FRAME_HEAD_SIZE = _FRAME_HEAD.size


def frame_head(kind: bytes, size: int) -> bytes:
    return _FRAME_HEAD.pack(kind, size)


def parse_frame_head(raw: bytes) -> "tuple[bytes, int]":
    kind, size = _FRAME_HEAD.unpack(raw)
    return kind, size

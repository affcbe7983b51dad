"""What the client takes from a server, which code in the sandbox may have got hold of: how much, and for how long.

How long a message may be stands with the message, in ``server/protocol.py``; the head of an answer and its trailers, in
``server/requests/http1.py``; how deep and how many the members of a tree may be, in ``server/files/archives.py``.
"""

from __future__ import annotations

from typing import NamedTuple

from pytest_fargate_sandbox.server.files.archives import MOST_MEMBERS

_MIB = 1024 * 1024

DEFAULT_MAX_OUTPUT_BYTES = 128 * _MIB
"""Of each stream. What a command says beyond it stays in a file in the sandbox, and takes no memory here."""


class Limits(NamedTuple):
    """One set for each client."""

    silence_sec: float = 30.0
    """Several heartbeats of a running command: a connection that is silent for longer is dead.

    Of what has no heartbeats, so often it is asked whether the server lives at all.
    """

    breaks_sec: float = 10.0
    """How long connections may break one after the other, with nothing heard in between, before that is the end."""

    standstill_sec: float = 60.0
    """How long an upload may come no further, where the server is heard and then the connection breaks, each time."""

    work_sec: float = 600.0
    """How long the server may be busy with a file, before its first word and in all."""

    health_sec: float = 5.0

    fetch_sec: float = 3600.0
    """How long the sandbox may take to get a file from somewhere else."""

    grace_sec: float = 60.0
    """How long the answer to a command may take beyond the command's own time-out: its tree has to be killed."""

    slowest_bytes_per_sec: int = 32 * 1024
    """What comes, or goes, as fast as this uses up no time: files and output may be large."""

    idle_heartbeats: int = 1000
    """So many may come at once, after a stall of the network; beyond them no more than twice as many as time for."""

    failure_bytes: int = 64 * 1024
    """Of an answer that says what could not be done."""

    memory_bytes: int = 1024 * _MIB
    """Of a file that is read into memory."""

    disk_bytes: int = 64 * 1024 * _MIB
    """Of a file or a tree that is written to the disk here."""

    disk_reserve_bytes: int = 64 * _MIB
    """What stays free of the disk whatever comes."""

    members: int = MOST_MEMBERS
    """Of a tree."""


LIMITS = Limits()

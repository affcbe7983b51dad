"""What is said of slots. A request with the header ``slot`` is about the slot of that lease, whatever it asks."""

import re

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.protocol import Run

MOST_SLOTS = 256
ISOLATIONS = ("namespace", "user", "none")
"""The best first."""

FREE = "free"
LEASED = "leased"
RETIRED = "retired"

MOST_RUNS = 10000
MOST_OUTPUT = 1024 * 1024
"""Of each stream of a command."""

ENDED = b"n"
"""A frame without a body, whose size is the place of a command in the request; the frames of its answer follow."""

FAILED = b"f"
"""The same, and the one frame that follows has the failure."""

_LEASE = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")


class OpenSlots(Message):
    """See to it that there are so many slots, of the best isolation that can be had here, or of this one."""

    VERB = "open-slots"
    count: int
    isolation: str
    FIELDS = {"count": (int, REQUIRED), "isolation": (str, "")}

    def check(self) -> None:
        if not 0 <= self.count <= MOST_SLOTS:
            raise Failure("bad_request", "open-slots: a machine has 1 to %d slots, not %d" % (MOST_SLOTS, self.count))
        if self.isolation and self.isolation not in ISOLATIONS:
            known = ", ".join(ISOLATIONS)
            raise Failure("bad_request", "there is no isolation %r; there are: %s" % (self.isolation, known))


class SlotStates(Message):
    """One word for each slot: free, leased, or retired; and why no better isolation was to be had."""

    isolation: str
    why: str
    states: "list[str]"
    retired_for: "list[str]"
    FIELDS = {
        "isolation": (str, REQUIRED),
        "why": (str, ""),
        "states": (list, REQUIRED),
        "retired_for": (list, REQUIRED),
    }


class LeaseSlot(Message):
    """Have a clean slot under this lease: that of this number, whoever has it, or any that is free."""

    VERB = "lease-slot"
    lease: str
    number: int
    network: str
    """Anything but "none" is that of all."""
    FIELDS = {"lease": (str, REQUIRED), "number": (int, -1), "network": (str, "")}

    def check(self) -> None:
        if self.network not in ("", "none"):
            raise Failure("bad_request", 'lease-slot: network is "none" or nothing, not %.80r' % self.network)
        if not _LEASE.match(self.lease):
            raise Failure("bad_request", "lease-slot: a lease is 8 to 64 of A-Z a-z 0-9 _ -, not %.80r" % self.lease)


class LeasedSlot(Message):
    """``home`` is its workspace, and what relative paths in it are relative to."""

    number: int
    home: str
    user: str
    FIELDS = {"number": (int, REQUIRED), "home": (str, REQUIRED), "user": (str, REQUIRED)}


class ResetSlot(Message):
    """End and remove all that is in the slot, and make sure of it; it is free then, unless it is to be kept."""

    VERB = "reset-slot"
    lease: str
    keep: bool
    FIELDS = {"lease": (str, REQUIRED), "keep": (bool, False)}


class RunMany(Message):
    """The payload has so many lines, a ``SlotRun`` each. Slots run side by side, and one slot's in their order.

    Who asks again, for those that he has no answer to, gets theirs: each of them runs once.
    """

    VERB = "run-many"
    count: int
    FIELDS = {"count": (int, REQUIRED)}

    def check(self) -> None:
        if not 1 <= self.count <= MOST_RUNS:
            raise Failure("bad_request", "run-many: 1 to %d commands, not %d" % (MOST_RUNS, self.count))


class SlotRun(Run):
    """``limit`` is bounded, as many may wait to be told at once."""

    VERB = "run-many"
    lease: str
    limit: int
    FIELDS = dict(Run.FIELDS, lease=(str, REQUIRED), limit=(int, REQUIRED))

    def check(self) -> None:
        Run.check(self)
        if not 0 <= self.limit <= MOST_OUTPUT:
            raise Failure("bad_request", "run-many: 0 to %d bytes of output, not %d" % (MOST_OUTPUT, self.limit))

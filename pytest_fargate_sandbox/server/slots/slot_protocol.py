"""What is said of slots. A request with the header ``slot`` is about the slot of that lease, whatever it asks."""

import re

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message

MOST_SLOTS = 256
ISOLATIONS = ("namespace", "user", "none")
"""The best first."""

FREE = "free"
LEASED = "leased"
RETIRED = "retired"

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

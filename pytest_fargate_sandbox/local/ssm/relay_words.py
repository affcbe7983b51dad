"""What the gateway and an agent say to each other beside the messages that the gateway passes on.

Each has a socket pair of its own for every session, the *door*: the agent asks at it for a data channel, which is
another socket pair, whose other end the gateway keeps. There each packet to the agent is a mark and a message.
"""

from __future__ import annotations

import enum
from typing import Final

LARGEST_PACKET: Final = 1 << 18
"""A packet is no larger than what the kernel takes at once."""
LARGEST_MESSAGE: Final = 1 << 17
MARKS: Final = 1
"""Bytes of it."""
DIAL: Final = b"dial"


class Mark(enum.IntEnum):
    """What the engine's faults have in mind for a message."""

    NONE = 0
    DOUBLE = 1
    """It shall be taken twice: as when the agent's socket breaks between the message and its acknowledgement."""

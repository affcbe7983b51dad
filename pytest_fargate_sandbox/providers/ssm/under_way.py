"""How much of one stream is to be under way from the task: what is behind it waits for all of that.

As much as the sessions bring within one round trip keeps them busy, if room is given in time; a margin is for a thread
that wakes late. Less costs pace, and more only waits in the agent.
"""

from __future__ import annotations

_BYTES_PER_SEC = 800_000
"""That one session brings: the agent sleeps a millisecond after each kilobyte."""
_MARGIN = 24 * 1024
_STEP = 4 * 1024
_MOST = 256 * 1024
"""Who does not read has so much of each stream kept here."""


def under_way(sessions: int, round_trip: float) -> int:
    size = _MARGIN * min(sessions, 2) + int(sessions * _BYTES_PER_SEC * round_trip)
    return min(_MOST, -(-size // _STEP) * _STEP)

"""How long sessions, and the connections of one, last."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionTimes:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html"""

    idle_sec: float = 1200.0
    channel_sec: float = 3600.0
    """After which the service closes each connection, of either end."""

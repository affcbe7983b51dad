"""Whether so much goes through a tunnel that further sessions are worth their while, or no longer."""

from __future__ import annotations

_SPAN_SEC = 10.0
_WORTH_BYTES = 2_500_000
"""Within that time; one session carries 0.7 MB/s."""
_QUIET_SEC = 60.0


class LoadMeter:
    def __init__(self) -> None:
        self._began = self._loaded = 0.0
        self._bytes = 0

    def carried(self, size: int, now: float) -> None:
        if now - self._began > _SPAN_SEC:
            self._began, self._bytes = now, 0
        self._bytes += size
        if size and self.is_high:
            self._loaded = now

    @property
    def is_high(self) -> bool:
        return self._bytes >= _WORTH_BYTES

    def has_fallen(self, now: float) -> bool:
        return now - self._loaded > _QUIET_SEC

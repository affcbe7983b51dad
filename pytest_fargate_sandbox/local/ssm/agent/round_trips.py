"""How long an end of a data channel waits for an acknowledgement before it sends again, as both real ends reckon it.

https://github.com/aws/amazon-ssm-agent/blob/1c217c89/agent/session/datachannel/datachannel.go
"""

from __future__ import annotations

_FIRST_SEC, _FIRST_RESEND_SEC, _LONGEST_SEC, _GRAIN_SEC = 0.1, 0.2, 1.0, 0.01


class RoundTrips:
    """An estimate of the round trip, and of how much it varies."""

    def __init__(self) -> None:
        self._mean, self._variation = _FIRST_SEC, 0.0
        self.resend_after = _FIRST_RESEND_SEC

    def learn(self, seconds: float) -> None:
        """One message was acknowledged so long after it was last sent."""
        self._variation = 0.75 * self._variation + 0.25 * abs(self._mean - seconds)
        self._mean = 0.875 * self._mean + 0.125 * seconds
        self.resend_after = min(_LONGEST_SEC, self._mean + max(_GRAIN_SEC, 4 * self._variation))

"""Moments and spans of time as a person reads them. What a run's page shows, its script says in its own way."""

from __future__ import annotations

import time


def clock(moment: float) -> str:
    """``14:03:59``, where this process is."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def span(seconds: float) -> str:
    """In a sentence: ``12.3 s``, ``5 min``, ``1.5 h``."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def span_in_column(seconds: float) -> str:
    """In a table: ``3m04s``, ``1h02m``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"

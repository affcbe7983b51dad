"""What earlier processes left is swept beside the first start at a place, which does not wait for it."""

from __future__ import annotations

import atexit
import logging
import threading
from functools import cache

from pytest_fargate_sandbox.records.sweeping import sweep_ledgers

_AT_MOST_SEC = 60.0
_LAST_WAIT_SEC = 2.0
"""A short process shall get its sweep done, and none shall hang at its end for a place out of reach."""

_log = logging.getLogger("pytest_fargate_sandbox.sweep")


@cache
def sweep_beside(cluster: str, region: str, endpoint_url: str | None) -> None:
    """Begin the sweep of that place, once in a process."""
    place = {"cluster": cluster, "region": region, "endpoint_url": endpoint_url}
    thread = threading.Thread(target=_sweep, args=(place,), name="fargate-sandbox-sweep", daemon=True)
    thread.start()
    atexit.register(thread.join, _LAST_WAIT_SEC)


def _sweep(place: dict[str, str | None]) -> None:
    try:
        for arn in sweep_ledgers(place, seconds=_AT_MOST_SEC).stopped:
            _log.warning("stopped %s, which an earlier process had left", arn)
    except Exception as error:  # nobody is there to catch it, and the next run sweeps again
        _log.warning("what earlier processes left could not be swept: %s", error)

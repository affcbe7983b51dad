"""Faults on demand: every way in which a launch can fail on AWS, and a task can die, can be asked for here.

A fault is ``NAME=NUMBER``. Counted faults meet the first NUMBER calls or tasks and are then spent (``missing`` counts
for each task anew); timed ones hold for every task until they are set to 0.
"""

from __future__ import annotations

import threading
from typing import Final

COUNTED: Final = {
    "throttle": "the first N RunTask calls get a ThrottlingException",
    "expired-token": "the first N calls of any kind are told that their credentials have expired",
    "access-denied": "the first N RunTask calls get an AccessDeniedException",
    "quota": "the first N RunTask calls are told that the vCPU limit is reached",
    "concurrent-registration": "the first N RegisterTaskDefinition calls are told that others are at it",
    "server-error": "the first N RunTask calls get a 500 and a ServerException",
    "lost-launch": "the first N RunTask calls make their tasks, and get a 500 and a ServerException",
    "stop-not-found": "the first N StopTask calls are told that there is no such task",
    "capacity": "the first N RunTask calls answer with failures[] for want of capacity",
    "missing": "DescribeTasks says MISSING N times for each new task",
    "fail-start": "the first N tasks stop with TaskFailedToStart",
    "ssm-denied": "the first N StartSession calls get an AccessDeniedException",
    "ssm-end-denied": "the first N TerminateSession calls get an AccessDeniedException",
    "exec-denied": "the first N ExecuteCommand calls get an AccessDeniedException",
    "ssm-double": "an agent takes N messages of data twice: in each session the first, and then each eleventh",
    "ssm-lost-ack": "N acknowledgements get lost, either way: in each session the first, and then each eleventh",
}
TIMED: Final = {
    "die-after": "an essential container of each task is killed S seconds after the task runs",
    "spot-after": "each task is reclaimed as by Spot S seconds after it runs",
    "late-address": "EC2 tells the public address of each task S seconds after its interface",
    "slow-pull": "each task's images take S seconds to pull",
    "ssm-cut": "every S seconds each session's connections are cut: in turn the client's and the agent's",
    "ssm-slow": "what a session carries takes S seconds more, each way",
}


class Faults:
    """The faults in force. All methods may be called from any thread."""

    def __init__(self, specs: list[str] | tuple[str, ...] = ()) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}
        for spec in specs:
            self.set(*parse_fault(spec))

    def set(self, name: str, value: float) -> None:
        _check(name, value)
        with self._lock:
            self._values[name] = value

    def take(self, name: str) -> bool:
        """Whether the counted fault ``name`` strikes now; if so, one of it is spent."""
        with self._lock:
            left = self._values.get(name, 0)
            if left < 1:
                return False
            self._values[name] = left - 1
            return True

    def value(self, name: str) -> float:
        with self._lock:
            return self._values.get(name, 0)

    def in_force(self) -> dict[str, float]:
        with self._lock:
            return {name: value for name, value in self._values.items() if value}


def parse_fault(spec: str) -> tuple[str, float]:
    """``throttle=3`` as a pair; a ValueError says what is wrong and what there is."""
    name, _, text = spec.partition("=")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"--fault {spec!r}: expected NAME=NUMBER, for instance throttle=3") from None
    _check(name, value)
    return name, value


def _check(name: str, value: float) -> None:
    if name not in COUNTED and name not in TIMED:
        raise ValueError(f"no fault is named {name!r}; there are {', '.join([*COUNTED, *TIMED])}")
    if not 0 <= value < float("inf") or (name in COUNTED and value != int(value)):
        raise ValueError(f"the fault {name} takes {'a whole number' if name in COUNTED else 'seconds'}, not {value}")

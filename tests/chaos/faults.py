"""What can be done to a system, and storms of it. A seed repeats which fault comes when, and how hard it is."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.fault_proxy import FaultProxy

_LONGEST_STALL = 0.8
_SLOWEST_DRIP, _FASTEST_DRIP = 500, 20_000
_LONGEST_WAIT = 1.0
_LULL = 0.002
_SETTLES_WITHIN = 30.0


class NothingToStrike(Exception):
    """That part is not there at the moment."""


@dataclass(frozen=True)
class Fault:
    """``strike`` returns when the fault is over, and since when the system could have been well again."""

    name: str
    strike: Callable[[random.Random], float]


class Strike(NamedTuple):
    fault: str
    over: float
    """The moment since when all could have been well."""


# --- to the connection ------------------------------------------------------------------------------------------------
def cut(proxy: FaultProxy) -> Fault:
    return Fault("cut", lambda _: _at_once(proxy.cut))


def cut_at_a_byte(proxy: FaultProxy, most: int) -> Fault:
    """In the middle of what goes through next, wherever that is."""

    def strike(chance: random.Random) -> float:
        proxy.cut_after(chance.randrange(most))
        deadline = time.monotonic() + _LONGEST_WAIT
        while proxy.left is not None and time.monotonic() < deadline:
            time.sleep(0.002)
        return time.monotonic()

    return Fault("cut at a byte", strike)


def cut_in_a_lull(proxy: FaultProxy) -> Fault:
    """When all has been said, and the answer is waited for: nobody here can know whether it was done."""

    def strike(_: random.Random) -> float:
        began = time.monotonic()
        while time.monotonic() < began + _LONGEST_WAIT:
            if began < proxy.last_moved < time.monotonic() - _LULL:
                break
            time.sleep(_LULL / 4)
        return _at_once(proxy.cut)

    return Fault("cut in a lull", strike)


def reset(proxy: FaultProxy) -> Fault:
    return Fault("reset", lambda _: _at_once(proxy.reset))


def stall(proxy: FaultProxy) -> Fault:
    return Fault("stall", lambda chance: _for_a_while(chance, proxy.stall, proxy.flow))


def drip(proxy: FaultProxy) -> Fault:
    def strike(chance: random.Random) -> float:
        rate = chance.randint(_SLOWEST_DRIP, _FASTEST_DRIP)
        return _for_a_while(chance, lambda: proxy.drip(rate), proxy.flow)

    return Fault("drip", strike)


def absence(proxy: FaultProxy) -> Fault:
    """Cut, and nobody is let in for a while."""

    def begin() -> None:
        proxy.refuse()
        proxy.cut()

    return Fault("absence", lambda chance: _for_a_while(chance, begin, proxy.admit))


def black_hole(proxy: FaultProxy) -> Fault:
    """It lasts until a new connection is made."""
    return Fault("black hole", lambda _: _at_once(proxy.swallow))


def all_on_the_wire(proxy: FaultProxy) -> list[Fault]:
    quick = [cut(proxy), cut_at_a_byte(proxy, 200_000), cut_in_a_lull(proxy), reset(proxy)]
    return [*quick, stall(proxy), drip(proxy), absence(proxy), black_hole(proxy)]


# --- to a session -----------------------------------------------------------------------------------------------------
def end_of_a_further_session(sessions: Callable[[], Sequence[str]], end: Callable[[str], object]) -> Fault:
    """Somebody who has the account ends one of several that go side by side."""

    def strike(chance: random.Random) -> float:
        further = sessions()[1:]
        if not further:
            raise NothingToStrike
        return _at_once(lambda: end(chance.choice(further)))

    return Fault("TerminateSession", strike)


# --- to a process -----------------------------------------------------------------------------------------------------
def stop(part: str, find: Callable[[], int], longest: float = _LONGEST_STALL) -> Fault:
    """SIGSTOP, and after a while SIGCONT."""

    def strike(chance: random.Random) -> float:
        pid = find()
        return _for_a_while(chance, lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT), longest)

    return Fault(f"SIGSTOP {part}", strike)


def hang(part: str, find: Callable[[], int]) -> Fault:
    """SIGSTOP, for good."""
    return Fault(f"hanging {part}", lambda _: _at_once(lambda: os.kill(find(), signal.SIGSTOP)))


def kill(part: str, find: Callable[[], int]) -> Fault:
    """SIGKILL."""
    return Fault(f"SIGKILL {part}", lambda _: _at_once(lambda: os.kill(find(), signal.SIGKILL)))


def stopped_by_somebody(stop_task: Callable[[], None]) -> Fault:
    return Fault("StopTask", lambda _: _at_once(stop_task))


def _at_once(act: Callable[[], object]) -> float:
    act()
    return time.monotonic()


def _for_a_while(
    chance: random.Random, begin: Callable[[], None], end: Callable[[], None], longest: float = _LONGEST_STALL
) -> float:
    begin()
    try:
        time.sleep(chance.uniform(0, longest))
    finally:
        end()
    return time.monotonic()


# --- again and again --------------------------------------------------------------------------------------------------
def dealt(faults: Sequence[Fault], chance: random.Random) -> Iterator[Fault]:
    """As cards are: each of them strikes before one of them strikes again."""
    while True:
        yield from chance.sample(faults, len(faults))


class Storm:
    """One fault after the other, about every ``every`` seconds, while the block runs; then all is calm.

    What is not ``settled`` has some time to be.
    """

    def __init__(
        self, faults: Iterable[Fault], every: float, chance: random.Random, settled: Callable[[], bool] = lambda: True
    ) -> None:
        self._faults = faults
        self._settled = settled
        self._every = every
        self._chance = chance
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rage, name="storm", daemon=True)
        self._failure: BaseException | None = None
        self.strikes: list[Strike] = []

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _rage(self) -> None:
        try:
            for fault in itertools.takewhile(lambda _: self._waits(), self._faults):
                self._strike(fault)
        except BaseException as error:
            self._failure = error

    def _strike(self, fault: Fault) -> None:
        """What is not there at the moment is waited for."""
        while not self._over.is_set():
            try:
                self.strikes.append(Strike(fault.name, fault.strike(self._chance)))
                return
            except (NothingToStrike, ProcessLookupError):  # noqa: PERF203
                self._over.wait(0.05)

    def _waits(self) -> bool:
        """For the next one; not, if it is over."""
        is_over, end = self._over.wait(self._chance.uniform(0.5, 1.5) * self._every), time.monotonic() + _SETTLES_WITHIN
        while not (is_over or self._settled() or time.monotonic() > end):
            is_over = self._over.wait(0.01)
        return not is_over

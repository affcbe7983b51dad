"""A behaviour: a check, whose name is the sentence that it holds a sandbox to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Sandbox = Any
"""A started sandbox. Not the protocol: of its own accord that promises less than is checked here."""


@dataclass(frozen=True)
class Behaviour:
    """One check; its name is the sentence that it holds a sandbox to."""

    name: str
    check: Callable[[Sandbox], None]

    def __call__(self, sandbox: Sandbox) -> None:
        self.check(sandbox)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class LargeBehaviour:
    """A check that moves ``size`` bytes: of a full length, or of what there is time for."""

    name: str
    check: Callable[[Sandbox, int], None]

    def __call__(self, sandbox: Sandbox, size: int = 1 << 30) -> None:
        self.check(sandbox, size)

    def __str__(self) -> str:
        return self.name


everyday: list[Behaviour] = []
large: list[LargeBehaviour] = []


def behaviour(check: Callable[[Sandbox], None]) -> Callable[[Sandbox], None]:
    everyday.append(Behaviour(check.__name__, check))
    return check


def large_behaviour(check: Callable[[Sandbox, int], None]) -> Callable[[Sandbox, int], None]:
    large.append(LargeBehaviour(check.__name__, check))
    return check

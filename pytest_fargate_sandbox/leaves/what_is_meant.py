"""What somebody means who says a name of a thing, or how one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_Thing = TypeVar("_Thing")


def meant_by(said: str, things: Sequence[_Thing], names_of: Callable[[_Thing], Iterable[str]]) -> list[_Thing]:
    """Those that are called just so; where none is, those of which a name begins so. One of them is what was meant."""
    return [each for each in things if said in names_of(each)] or [
        each for each in things if any(name.startswith(said) for name in names_of(each))
    ]

"""A number on a command line, or the sentence that says which are taken."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

N = TypeVar("N", int, float)


def number_within(least: N, most: N, what: str) -> Callable[[str], N]:
    """As ``type`` of an argument; of the kind of its bounds. What is not a number is within none."""
    kind = type(least)

    def read(text: str) -> N:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {what}, {least:.15g} to {most:.15g}")
        return number

    return read

"""Warnings that are no errors, be warnings errors or not: a test that has its outcome fails for them no more."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def warn_anyway(item: pytest.Item | None, warning: Warning) -> None:
    try:
        _warn(item, warning)
    except type(warning):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            _warn(item, warning)


def _warn(item: pytest.Item | None, warning: Warning) -> None:
    if item is None:
        warnings.warn(warning, stacklevel=3)
    else:
        item.warn(warning)

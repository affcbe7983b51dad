"""Python's search for garbage, and when it is in vain."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collection_paused() -> Iterator[None]:
    """For what makes very many objects, all to stay: searched again and again meanwhile, they take half as long again.

    To load botocore and its models, or paramiko, is such a thing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

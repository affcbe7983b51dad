"""What every task sees of this machine that runs the image ``host``.

Whoever tests that it stays as it is, and whoever lays something there or takes it away, take turns, whichever worker
of whichever run each of them is.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_SEC = 300


@contextmanager
def nobody_else_changes_the_host() -> Iterator[None]:
    with FileLock(Path(tempfile.gettempdir()) / f"fargate-sandbox-test-host-{os.getuid()}.lock", _PATIENCE_SEC):
        yield

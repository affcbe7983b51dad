"""Where podman's user has what he configures for himself."""

from __future__ import annotations

import os
from pathlib import Path


def users_configuration() -> Path:
    """It need not be there, nor need he have a home."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "containers")  # noqa: PTH111

"""A hook of podman's that makes read-only what of /proc root of a container shares with the host.

No option does it: a mount within /proc is refused by runc, and ``--security-opt mask=`` would hide what programs read.
But a ``precreate`` hook (oci-hooks(5)) may rewrite the runtime's configuration, and that has a list ``readonlyPaths``.
It runs for every container, hence it is sed: a Python that parses all of it would take a tenth as long as the start.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.shared_proc import shared_entries

if TYPE_CHECKING:
    from pathlib import Path

_PODMANS_OWN = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
"""The option replaces them, so they are named again; podman does not mind when they are not there."""


def hook_options(directory: Path) -> list[str]:
    """Write the hook to ``directory``; the options that make podman use it."""
    # Within a string of JSON every quote has a backslash, so this matches the key and nothing else.
    listed = "".join(f'"{path}",' for path in shared_entries())
    script = f's|"readonlyPaths": *\\[|&{listed}|'
    hook = {
        "version": "1.0.0",
        "hook": {"path": shutil.which("sed"), "args": ["sed", script]},
        "when": {"always": True},
        "stages": ["precreate"],
    }
    (directory / "shared-proc.json").write_text(json.dumps(hook), encoding="utf-8")
    return [word for place in (*_PODMANS_OWN, str(directory)) for word in ("--hooks-dir", place)]

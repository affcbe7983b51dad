"""The container that runs before the main one and brings a Python for it, where there is no sidecar that would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves import names

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent


def runtime_container(image: str, logs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Its definition; the main container is to wait for its SUCCESS, and mounts the same volume."""
    copier = (_HERE.parents[1] / "server" / "relocatable.py").read_text()
    script = (_HERE / "runtime_container.sh").read_text().replace("@relocatable.py@", copier.rstrip())
    container: dict[str, Any] = {
        "name": names.RUNTIME_CONTAINER,
        "image": image,
        "essential": False,
        "entryPoint": ["/bin/sh", "-c"],
        "command": [script],
        "environment": [{"name": names.ENV_RUNTIME, "value": names.RUNTIME_ONLY}],
        "mountPoints": [{"sourceVolume": names.SHARED_VOLUME, "containerPath": names.SHARED_DIR, "readOnly": False}],
        "user": "0",
    }
    if logs:
        container["logConfiguration"] = dict(logs)
    return container

"""A build's images come out of the store or a registry, and not out of files of this machine.

podman takes ``FROM docker-archive:/FILE`` and its like for that file, whoever wrote the Dockerfile, by variables and
``ONBUILD`` too. What it may have of where stands in containers-policy.json(5), of which its user may have one.
"""

from __future__ import annotations

import json
from pathlib import Path

from pytest_fargate_sandbox.local.runners.podman.users_configuration import users_configuration

_OF_THIS_MACHINE = ("dir", "docker-archive", "docker-daemon", "oci", "oci-archive", "ostree", "sif", "tarball")
_NONE = {"": [{"type": "reject"}]}


def policy_options(directory: Path) -> list[str]:
    """For ``build``, by a file in ``directory``. Where the user's is none, podman itself says so."""
    known = (users_configuration() / "policy.json", Path("/etc/containers/policy.json"))
    found = next((file for file in known if file.is_file()), None)
    try:
        policy = json.loads(found.read_text("utf-8")) if found else None
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        return []
    policy["transports"] = {**(policy.get("transports") or {}), **dict.fromkeys(_OF_THIS_MACHINE, _NONE)}
    file = directory / "policy.json"
    file.write_text(json.dumps(policy), "utf-8")
    return ["--signature-policy", str(file)]

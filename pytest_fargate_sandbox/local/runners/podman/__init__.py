"""The runner of real images, through the command line that podman and docker share (docker: ``local.docker``).

* ``runner`` and ``task`` are the engine's side; ``container`` is one foreground ``run``.
* ``command`` is the command line itself, and what this host wants of it; ``images`` what a reference means to it.
* The task's network is an infra container's (``pause``). The namespaces runner's holder joins it: from there it relays
  ports, the gate, and runs the built-in sidecar, as it does for its own tasks.
* ``guard`` removes what a killed engine left.
"""

from __future__ import annotations

from pytest_fargate_sandbox.local.runners.podman.command_runner import PodmanRunner, problem_of

__all__ = ["PodmanRunner", "available"]


def available() -> str | None:
    """None where podman runs containers; else why not, and what to do about it."""
    return problem_of("podman")

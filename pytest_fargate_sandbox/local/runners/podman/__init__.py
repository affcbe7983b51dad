"""The runner of real images, through the command line that podman and docker share.

* ``runner`` and ``task`` are the engine's side; ``container`` is one foreground ``run``.
* ``command`` is the command line itself, and what this host wants of it; ``images`` what a reference means to it.
* The task's network is an infra container's (``pause``). The namespaces runner's holder joins it: from there it relays
  ports, the gate, and runs the built-in sidecar, as it does for its own tasks.
* ``guard`` removes what a killed engine left.
"""

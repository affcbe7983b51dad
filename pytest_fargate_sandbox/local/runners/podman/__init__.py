"""The runner of real images, through the command line that podman and docker share.

* ``command_runner`` and ``command_task`` are the engine's side; ``command_container`` is one foreground ``run``.
* ``command_line`` is the command line, as this host wants it; ``stored_images`` what a reference means to it.
* The task's network is an infra container's (``pause_image``). The namespaces runner's holder joins it: from there it
  relays ports, the gate, and runs the built-in sidecar, as it does for its own tasks.
* ``guard`` removes what a killed engine left.
"""

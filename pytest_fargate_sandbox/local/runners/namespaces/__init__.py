"""The namespaces runner: tasks as real processes in namespaces of their own, with nothing to install.

* ``namespaces_runner`` and ``namespaces_task`` are the engine's side; they fork nothing, as it has many threads.
* ``launcher`` is one warm process with one thread; for each task it forks a ``task_holder``.
* A holder owns a task's network (without root its user namespace as well), starts its containers and relays its ports.
* ``container_process`` becomes the image's program, by way of ``container_root``, ``image_user`` and ``privileges``.

Loaded piece by piece: what is imported in the launcher, each of its forks carries.
"""

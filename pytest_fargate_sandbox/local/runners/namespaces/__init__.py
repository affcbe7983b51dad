"""The namespaces runner: tasks as real processes in namespaces of their own, with nothing to install.

* ``namespaces_runner`` and ``task`` are the engine's side; they fork nothing, since the engine has many threads.
* ``launcher`` is one warm process with one thread; for each task it forks a ``holder``.
* A holder owns a task's network (without root its user namespace as well), starts its containers and relays its ports.
* ``container`` becomes the image's program; ``root``, ``identity`` and ``privileges`` are the steps on the way.

Loaded piece by piece: what is imported in the launcher, each of its forks carries.
"""

"""The exec server: what turns any container into a sandbox.

All modules here but ``bundle`` run inside the container, as compressed source in the task definition: stdlib only,
Python 3.6 and newer. ``protocol``, ``requests.http1`` and ``files.archives`` are what both ends of the tunnel share.
"""

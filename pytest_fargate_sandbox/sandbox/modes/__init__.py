"""The ways in which a task is used: with our exec server in it, or with the image's own agent.

A mode is an object without state, chosen in one place (``mode_registry.mode_of``), and it alone knows what is special
about its way: ``mode.py`` has the questions. A further mode is a module here and a row in the registry.
"""

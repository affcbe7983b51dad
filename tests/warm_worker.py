"""Stands where a Python is to be started: gives what it was given to a warm one, and lives and ends as its copy does.

TESTS_WARM_PYTHON=SOCKET python -I -S warm_worker.py -u -c PROGRAM
"""

import json
import os
import signal
import socket
import sys

_STANDARD = (0, 1, 2)

if __name__ == "__main__":
    request = {
        "arguments": [each for each in sys.argv[1:] if each != "-u"],
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109  pathlib takes longer to import than all else here
        "umask": os.umask(0o022),
        "new session": False,
        "descriptors": [],
    }
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the copy meets it as well
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.environ["TESTS_WARM_PYTHON"])
    socket.send_fds(connection, [(json.dumps(request) + "\n").encode()], _STANDARD)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in _STANDARD:  # or whoever waits for the end of its output waits for ours as well
        os.dup2(nowhere, number)
    told = b""
    while piece := connection.recv(100):
        told += piece
    code = int(told.split()[-1])
    sys.exit(code if code >= 0 else 128 - code)

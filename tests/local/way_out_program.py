"""A machine with an internet of its own, both network namespaces, and on it a task with a way out and one without.

    unshare --net python way_out_program.py

The internet is one host, which has every address that is tried and answers at port 80 of each; the machine has
``MACHINE``. Prints as JSON what each task met, and the process that is the way out; then lives until its stdin ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from tests.local.running_tasks import RunningTasks

MACHINE = "203.0.113.1"
PUBLIC = "203.0.113.7"
PRIVATE = ("10.9.9.9", "100.64.0.9", "169.254.169.254", "172.16.0.9", "192.168.0.9", "192.0.0.192", "168.63.129.16")

_SERVE = """
import socket
s = socket.create_server(("", 80))
print("up", flush=True)
while True:
    s.accept()[0].close()
"""
_TRY = """
import json, socket, sys
def met(address):
    with socket.socket() as client:
        client.settimeout(20)
        try:
            client.connect((address, 80))
        except OSError as error:
            return type(error).__name__ if type(error) is not OSError else error.strerror
    return "connected"
def packets():
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError as error:
        return type(error).__name__
    return "given"
print(json.dumps({**{address: met(address) for address in sys.argv[1:]}, "packets": packets()}))
"""


def main() -> None:
    internet = _served("unshare", "--net")
    _connect(internet.pid)
    mine = _served()  # what the machine itself serves
    runner = NamespacesRunner(images={}, gate_address=("127.0.0.1", 1))
    tasks = RunningTasks(runner)
    try:
        told = {name: _met_in(tasks, has_way_out=name == "public") for name in ("public", "closed")}
        print(json.dumps({**told, "ways_out": _ways_out()}), flush=True)
        sys.stdin.read()
    finally:
        tasks.close()
        told = {"left": _ways_out()}
        runner.close()
        mine.kill()
        internet.kill()
    print(json.dumps(told), flush=True)


def _served(*before: str) -> subprocess.Popen[bytes]:
    """Until we end, however that is."""
    command = [*before, sys.executable, "-c", _SERVE]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=linux.die_with_parent)
    assert server.stdout is not None
    assert server.stdout.readline() == b"up\n"
    return server


def _met_in(tasks: RunningTasks, *, has_way_out: bool) -> dict[str, str]:
    task = tasks.open(has_way_out=has_way_out)
    started = tasks.start("python3", "-c", _TRY, PUBLIC, MACHINE, *PRIVATE, task=task, image=HOST_IMAGE)
    assert started.wait().code == 0, started.output
    return dict(json.loads(started.output))


def _connect(internet: int) -> None:
    """A cable between the two."""
    inside = ["nsenter", f"--net=/proc/{internet}/ns/net"]
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(internet)],
        ["ip", "addr", "add", f"{MACHINE}/24", "dev", "near"],
        ["ip", "link", "set", "near", "up"],
        ["ip", "route", "add", "default", "via", PUBLIC],
        [*inside, "ip", "addr", "add", f"{PUBLIC}/24", "dev", "far"],
        [*inside, "ip", "link", "set", "far", "up"],
        *([*inside, "ip", "addr", "add", f"{address}/32", "dev", "far"] for address in PRIVATE),
    ):
        subprocess.run(command, check=True)


def _ways_out() -> list[int]:
    """Children of this process that are one."""
    children = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == "slirp4netns"]


if __name__ == "__main__":
    main()

"""A client in a process of its own, that is told lies: what it makes of them, in which time and with how much memory.

Reads requests as lines of JSON, forks for each, and writes what became of it as a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.slots.machine_slots import MachineSlots
from pytest_fargate_sandbox.sandbox.workspace_artifacts import WorkspaceArtifacts
from pytest_fargate_sandbox.server.slots.slot_protocol import SlotRun

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS_SPACE = 3 << 30
_FILE_SIZE = 256 << 20
_SECONDS = 12
_MOST_SECONDS = 60
"""By the clock on the wall, however little of that this process gets."""

ACTS: dict[str, Callable[[ExecClient, Path], object]] = {
    "exec": lambda client, _: client.exec("true", timeout=0.5),
    "exec without time-out": lambda client, _: client.exec("true", timeout=None),
    "exec of little output": lambda client, _: client.exec("true", timeout=0.5, max_output_bytes=1000),
    "exec with stdin": lambda client, _: client.exec("true", timeout=0.5, stdin=b"x" * 1_000_000),
    "stat": lambda client, _: client.stat("/there"),
    "list": lambda client, _: client.list_files("/there"),
    "read": lambda client, _: client.read_file("/there"),
    "save": lambda client, here: client.download_to("/there", here / "file"),
    "save tree": lambda client, here: client.download_to("/there", here / "tree"),
    "write": lambda client, _: client.write_file("/there", "content"),
    "fetch": lambda client, _: client.fetch("http://there", "/there", sha256="0" * 64),
    "configure": lambda client, _: client.configure({"A": "b"}),
    "spawn": lambda client, _: client.spawn("true"),
    "type": lambda client, _: client.spawn("true").write(b"x" * 1_000_000),
    "follow": lambda client, _: client.spawn("true", on_output=len).wait(0.5),
    "poll": lambda client, _: client.spawn("true").poll(),
    "wait": lambda client, _: client.spawn("true").wait(0.5),
    "read stdout": lambda client, _: client.spawn("true").read(timeout=0.5),
    "signal": lambda client, _: client.spawn("true").kill(),
    "read artifact": lambda client, _: _artifacts(client).read("/there", max_bytes=1000),
    "list artifacts": lambda client, _: _artifacts(client).list("/there"),
    "collect": lambda client, _: _artifacts(client).collect(["**"], _Nowhere()),
    "open slots": lambda client, _: _Slots(client).open_slots(2, require_isolation="namespace"),
    "lease a slot": lambda client, _: _Slots(client).lease_slot(1),
    "save a snapshot": lambda client, here: client.save("/there", (), here / "snapshot", max_members=5),
    "compare with a snapshot": lambda client, _: client.changes("/there", "it", Path(sys.executable)),
    "follow a terminal": lambda client, _: _followed(client),
    "batch": lambda client, _: client.run_many([_slot_run("one"), _slot_run("other")]).to_end(),
    "health": lambda client, _: client.health(),
}


def _slot_run(command_id: str) -> SlotRun:
    return SlotRun(id=command_id, lease=f"lease-of-{command_id}", command="true", timeout=0.5, limit=1000)


def _artifacts(client: ExecClient) -> WorkspaceArtifacts:
    return WorkspaceArtifacts(lambda act: act(client))


class _Slots(MachineSlots):
    """The slots of a server, without a task around it."""

    cfg = SimpleNamespace(memory="4096")

    def __init__(self, client: ExecClient) -> None:
        self._client = client

    def running(self) -> SimpleNamespace:
        mode = SimpleNamespace(client=lambda _connection: self._client)
        return SimpleNamespace(mode=mode, connection=None, lifeline=Unguarded())


class _Nowhere:
    """Takes files that are collected, and puts them nowhere."""

    def begin(self) -> None:
        pass

    def file(self, _path: str) -> Callable[[bytes], object]:
        return len


def _followed(client: ExecClient) -> str:
    """What becomes of a terminal without a shell; its end is waited for."""
    from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals

    terminal = OpenTerminals().open(client, Unguarded(), "it", 80, 24, ["cat"], env=None, user=None, cwd=None)
    terminal.wait_for("an end", timeout=_SECONDS)
    return terminal.capture()


def _act(request: dict[str, Any]) -> dict[str, Any]:
    limits = LIMITS._replace(**request["limits"])
    client = ExecClient(port=request["port"], token="told", limits=limits)
    clock = _OwnTime()
    try:
        answer = ACTS[request["act"]](client, Path(request["directory"]))
        told = {"error": "", "message": repr(answer)[:200], "kind": ""}
    except BaseException as error:
        kind = getattr(error, "context", {}).get("kind", "")
        told = {"error": type(error).__name__, "message": str(error)[:2000], "kind": kind}
    return {**told, "seconds": clock.read()}


class _OwnTime:
    """Without what this thread waited while it could have run: then others had the processors.

    The second number of https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """

    def __init__(self) -> None:
        self._began = self._now()

    def read(self) -> float:
        return self._now() - self._began

    @staticmethod
    def _now() -> float:
        waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1])
        return time.monotonic() - waited / 1e9


def _in_a_child(request: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_MOST_SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_SIZE, _FILE_SIZE))
        os.write(writing, json.dumps(_act(request)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status, usage = os.wait4(child, 0)
    ended = {"error": f"ended with {status}", "message": "", "kind": "", "seconds": _SECONDS}
    return {**(json.loads(said) if said else ended), "megabytes": usage.ru_maxrss / 1024}


if __name__ == "__main__":
    for request_line in sys.stdin:
        print(json.dumps(_in_a_child(json.loads(request_line))), flush=True)

"""Somebody else on the machine, and an engine of somebody who is not root: what the tests of strangers work with."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.local.engine_process import EngineProcess
from tests.local.raw_requests import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.local.unprivileged import Somebody

NOBODY = 65534
_PROGRAM = Path(__file__).with_name("stranger_program.py")
_ORPHANED = ("setpriv", "--pdeathsig", "TERM")
_ESTABLISHED = "01"


class Stranger:
    """A real process of another user, at an engine's port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, requests: Sequence[Request], manner: str) -> list[Answer]:
        """Each on a connection of its own; the answers are empty where the stranger did not wait for them."""
        done = subprocess.run(
            [sys.executable, str(_PROGRAM)],
            input=self._orders([request.encode() for request in requests], manner),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [Answer.parse(base64.b64decode(answer)) for answer in json.loads(done.stdout)]

    def send_and_hang_up(self, requests: Sequence[Request]) -> None:
        """In good order and without, half of them each."""
        self.send(requests[::2], "close")
        self.send(requests[1::2], "reset")

    @contextlib.contextmanager
    def holding(self, beginnings: Sequence[bytes]) -> Iterator[None]:
        """Connections that say no more than their beginning, for as long as the context."""
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(self._orders(beginnings, "hold"))
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == len(beginnings)
            yield

    def _orders(self, requests: Sequence[bytes], manner: str) -> str:
        encoded = [base64.b64encode(request).decode() for request in requests]
        return json.dumps({"uid": NOBODY, "port": self._port, "manner": manner, "requests": encoded}) + "\n"


class EngineOf(EngineProcess):
    """An engine that ``somebody`` started by hand."""

    def __init__(self, somebody: Somebody) -> None:
        self.log = somebody.home / "log.jsonl"
        self._clients: dict[str, Any] = {}
        self.process = subprocess.Popen(
            somebody.command("-m", "pytest_fargate_sandbox.local", "--log", str(self.log), before=_ORPHANED),
            env=somebody.environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        lines = itertools.takewhile(lambda line: line.startswith("export "), self.process.stdout)
        self.exports = dict(shlex.split(line)[1].split("=", 1) for line in lines)
        assert self.exports, f"the engine did not start: exit code {self.process.wait(10)}"


def port_of(engine: EngineProcess) -> int:
    return int(engine.exports["AWS_ENDPOINT_URL"].rpartition(":")[2])


class Witness:
    """What an engine did from here on: its log, and what its owner finds in it afterwards."""

    def __init__(self, engine: EngineProcess) -> None:
        assert engine.log is not None
        self._engine, self._log = engine, engine.log
        self._before = self._inventory()
        self._threads = self._settled()
        self._log_begins = self._log.stat().st_size

    def carried_out(self, *operations: str) -> list[dict[str, Any]]:
        """The calls of ``operations`` that the log says succeeded, once the engine has done all it was sent."""
        self._wait_until_idle()
        lines = map(json.loads, self._log.read_bytes()[self._log_begins :].splitlines())
        calls = (line for line in lines if line["kind"] == "call" and line["operation"] in operations)
        return [call for call in calls if call["status"] < 400]

    def errors(self) -> list[dict[str, Any]]:
        lines = map(json.loads, self._log.read_bytes()[self._log_begins :].splitlines())
        return [line for line in lines if line["kind"] == "error"]

    def new_things(self) -> dict[str, set[str]]:
        """What is there now and was not before."""
        found = {kind: things - self._before[kind] for kind, things in self._inventory().items()}
        return {kind: things for kind, things in found.items() if things}

    def _inventory(self) -> dict[str, set[str]]:
        ecs, iam, s3 = self._engine.ecs, self._engine.client("iam"), self._engine.client("s3")
        clusters = ecs.list_clusters()["clusterArns"]
        return {
            "clusters": set(clusters),
            "definitions": set(ecs.list_task_definitions()["taskDefinitionArns"]),
            "tasks": set(itertools.chain(*(ecs.list_tasks(cluster=cluster)["taskArns"] for cluster in clusters))),
            "users": {user["UserName"] for user in iam.list_users()["Users"]},
            "objects": {
                f"{bucket['Name']}/{item['Key']}={item['ETag']}"
                for bucket in s3.list_buckets()["Buckets"]
                for item in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])
            },
        }

    def _wait_until_idle(self) -> None:
        """The stranger is gone; what still works for the stranger is a thread without a living connection."""
        Request("GET").send(port_of(self._engine))  # by now all that came before it have been accepted

        def probe() -> bool:
            count = self._forsaken_threads()
            if count > self._threads:
                raise NotYet(f"{count} threads without a connection, {self._threads} before")
            return True

        wait_until(probe, deadline=30, what="the end of the stranger's requests")

    def _settled(self) -> int:
        """How many they are when nothing comes or goes: who came before may just be leaving."""
        counts = [self._forsaken_threads()]

        def probe() -> bool:
            counts.append(self._forsaken_threads())
            if len(counts) < 4 or len({*counts[-4:]}) > 1:
                raise NotYet(f"{counts[-4:]} threads without a connection")
            return True

        wait_until(probe, deadline=30, what="a quiet engine", longest_pause=0.05)
        return counts[-1]

    def _forsaken_threads(self) -> int:
        threads = len([*Path(f"/proc/{self._engine.process.pid}/task").iterdir()])
        own = f":{port_of(self._engine):04X}"
        sockets = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
        return threads - sum(fields[1].endswith(own) and fields[3] == _ESTABLISHED for fields in sockets)


@contextlib.contextmanager
def busy(engine: EngineProcess, threads: int = 4) -> Iterator[None]:
    """The owner's own calls, as fast as they go, for as long as the context."""
    ended = threading.Event()
    failures: list[BaseException] = []

    def describe() -> None:
        try:
            while not ended.is_set():
                engine.ecs.describe_tasks(cluster="local", tasks=["0" * 32])
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=describe) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join(20)
    assert failures == []

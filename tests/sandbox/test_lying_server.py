"""A sandbox whose server lies: whatever it says, its client has an error of ours, soon, and takes little memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_fargate_sandbox.leaves.errors import MISBEHAVED, TransportError
from pytest_fargate_sandbox.sandbox.lifeline import Lifeline
from tests.lying_server import (
    CHUNKED,
    MIB,
    LyingServer,
    Talk,
    chunk,
    frame,
    line,
    result,
    sized,
)
from tests.sandbox.lies import (
    DRIP,
    MEGABYTES,
    ROWS,
    SECONDS,
    Row,
    frames,
    spawned_then,
    then_for_ever,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Told(NamedTuple):
    """What became of a lie."""

    error: str
    message: str
    kind: str
    seconds: float
    megabytes: float


class Victim:
    """Runs clients in processes of their own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.lied_to"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self, row: Row, directory: Path) -> Told:
        assert self.process.stdin
        assert self.process.stdout
        with LyingServer(row.lie) as server:
            request = {"port": server.port, "act": row.act, "limits": dict(row.limits), "directory": str(directory)}
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return Told(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    victim = Victim()
    yield victim
    victim.close()


HONEST_ENOUGH = {"output in crumbs"}
NOT_A_LIE_BY_ITSELF = {
    "a file for the last of the disk",
    "a failure that says nothing",
    "a failure that is deep",
    "a failure of other types",
    "an unknown command, always",
    "silence after an upload",
    "silence",
}


@pytest.mark.parametrize("name", ROWS)
def test_a_lie_is_an_error_of_ours_and_costs_little(victim: Victim, tmp_path: Path, name: str) -> None:
    row = ROWS[name]
    told = victim.told(row, tmp_path)
    assert told.seconds < row.seconds, told
    assert told.megabytes < row.megabytes, told
    assert row.says in told.message, told
    if name in HONEST_ENOUGH:
        assert told.error == "", told
        return
    assert told.error in ("TransportError", "UnsafeArchiveError", "SandboxError"), told
    if name not in NOT_A_LIE_BY_ITSELF:
        assert told.message.startswith("the sandbox misbehaves"), told
        assert told.kind == MISBEHAVED or told.error == "UnsafeArchiveError", told
    assert list(tmp_path.iterdir()) == [], "nothing was changed"


@pytest.mark.parametrize("drip", [True, False])
def test_a_server_that_has_much_to_say_of_its_health_is_not_well(victim: Victim, tmp_path: Path, drip: bool) -> None:
    piece, pause = (chunk(b"x"), 0.05) if drip else (chunk(bytes(MIB)), 0)
    told = victim.told(Row("health", then_for_ever(CHUNKED, piece=piece, pause=pause), "", DRIP), tmp_path)
    assert (told.error, told.message) == ("", "False")
    assert told.seconds < SECONDS
    assert told.megabytes < MEGABYTES


def test_a_process_that_is_always_said_to_run_makes_nobody_run_in_circles(victim: Victim, tmp_path: Path) -> None:
    asked = []

    def lie(talk: Talk) -> None:
        asked.append(talk.verb)
        frames(result(running=True, return_code=None))(talk)

    told = victim.told(Row("wait", spawned_then(lie), ""), tmp_path)
    assert told.error == "TimeoutError"
    assert len(asked) < 5


def test_output_that_comes_for_ever_behind_the_end_keeps_nobody_for_ever(victim: Victim, tmp_path: Path) -> None:
    def drips(talk: Talk) -> None:
        more = b"" if b'"most": 0' in talk.asked else frame(b"o", b"x")
        frames(more, result(stdout_total=1 << 40))(talk)

    lie = spawned_then(drips)
    told = victim.told(Row("follow", lie, "", {"grace_sec": 0.5}), tmp_path)
    assert (told.error, told.seconds < SECONDS) == ("TimeoutError", True), told


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(tmp_path: Path, victim: Victim) -> None:
    """Two answers to one question: the second must not answer what is asked afterwards."""

    def lie(talk: Talk) -> None:
        answer = sized(11) + line(pid=7)
        with contextlib.suppress(OSError):
            talk.send(answer * 2 if talk.verb == "spawn" else sized(3) + b"{}\n")

    told = victim.told(Row("signal", lie, ""), tmp_path)
    assert (told.error, told.message) == ("", "None")


def test_a_lie_is_not_explained_as_a_broken_connection() -> None:
    """Nobody asks what became of the task, or says that the connection is up again: there is nothing to ask with."""
    lifeline = Lifeline(None, None)  # type: ignore[arg-type]
    lie = TransportError("the sandbox misbehaves", kind=MISBEHAVED)

    def told() -> None:
        raise lie

    with pytest.raises(TransportError) as caught:
        lifeline.through(told)
    assert caught.value is lie

"""Whatever becomes of a process, its tasks do not outlive it: real processes, ended in every way."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.names import TAG_LEDGER
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.sweeping import owned_tasks, sweep_expired, sweep_ledgers, sweep_run, tags_of
from pytest_fargate_sandbox.sandbox.task.causes import is_ending
from tests.warm_python import Popen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox import EcsFargateSandbox
    from tests.engine_of_tests import EngineOfTests

SCRIPT = """
import sys, time, threading
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
sandbox = EcsFargateSandbox(cfg, task_id="orphan", run_id="crash")
sandbox.start()
print(sandbox.task_arn, flush=True)
sys.stdin.readline()
"""


class Victim:
    """A process that has started a sandbox, and after ``go_on`` does what the test says."""

    def __init__(self, then: str, before: str = "") -> None:
        self.process = Popen[str](
            ["-c", before + SCRIPT + then],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.arn = self.process.stdout.readline().strip()
        assert self.arn, self.process.communicate()[1]

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, number: int | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        self.output = self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.fixture
def victim(
    engine: EngineOfTests,
    no_nohup: None,  # noqa: ARG001
) -> Iterator[Callable[[str], Victim]]:
    made: list[Victim] = []

    def make(then: str) -> Victim:
        made.append(Victim(then))
        assert made[-1].arn in engine.alive()
        made[-1].go_on()
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)
    sweep_ledgers()


@pytest.mark.parametrize(
    ("then", "code"),
    [("1/0", 1), ("threading.Thread(target=time.sleep, args=(0.2,)).start()", 0)],
    ids=["error", "end behind a thread"],
)
def test_an_exit_without_stop_stops_the_task(
    victim: Callable[[str], Victim], engine: EngineOfTests, then: str, code: int
) -> None:
    mine = victim(then)
    assert mine.end() == code, mine.output
    assert mine.arn not in engine.alive()


@pytest.mark.parametrize(
    ("then", "number", "code"),
    [
        ("time.sleep(60)", signal.SIGTERM, -signal.SIGTERM),
        ("time.sleep(60)", signal.SIGHUP, -signal.SIGHUP),
        ("sandbox.exec('sleep 60')", signal.SIGINT, -signal.SIGINT),
    ],
)
def test_a_signal_stops_the_task_and_then_does_what_it_always_did(
    victim: Callable[[str], Victim], engine: EngineOfTests, then: str, number: int, code: int
) -> None:
    mine = victim(then)
    assert mine.end(number) == code, mine.output
    assert mine.arn not in engine.alive()


BEFORE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
"""


def test_the_handler_of_before_is_called_as_well_and_what_was_ignored_stays_so(engine: EngineOfTests) -> None:
    mine = Victim("", before=BEFORE)
    mine.process.send_signal(signal.SIGHUP)
    assert mine.end(signal.SIGTERM) == 42
    assert mine.arn not in engine.alive()


def test_after_a_sigkill_the_next_start_sweeps(victim: Callable[[str], Victim], engine: EngineOfTests) -> None:
    mine = victim("time.sleep(60)")
    mine.end(signal.SIGKILL)
    assert mine.arn in engine.alive(), "nobody was there to stop it"
    other = Victim("sandbox.stop()")
    assert other.end() == 0
    assert mine.arn not in engine.alive()


def test_a_sweep_leaves_what_is_alive_or_kept(
    victim: Callable[[str], Victim], engine: EngineOfTests, sandbox: Callable[..., EcsFargateSandbox]
) -> None:
    mine = sandbox(run_id="crash")
    mine.start()
    kept = victim("kept = sandbox.keep(); sys.exit(0)")
    kept.end()
    lost = victim("time.sleep(60)")
    lost.end(signal.SIGKILL)
    assert sweep_ledgers().stopped == [lost.arn]
    assert sweep_ledgers().stopped == []
    assert {mine.task_arn, kept.arn} <= set(engine.alive())
    engine.aws.call("ecs", "StopTask", cluster="local", task=kept.arn)


def test_a_launch_whose_answer_was_never_written_down_is_found_by_its_tag(
    victim: Callable[[str], Victim], engine: EngineOfTests
) -> None:
    lost = victim("time.sleep(60)")
    lost.end(signal.SIGKILL)
    ledger = Ledger("crash")
    lines = [line for line in ledger.path.read_text().splitlines() if lost.arn not in line]
    ledger.path.write_text("\n".join(lines) + "\n")
    assert sweep_ledgers().stopped == [lost.arn]
    assert lost.arn not in engine.alive()


def test_a_launch_that_was_on_its_way_when_its_process_was_killed_is_waited_for(
    victim: Callable[[str], Victim], engine: EngineOfTests
) -> None:
    late = _Late(victim("time.sleep(60)"), engine)
    thread = threading.Timer(0.5, late.arrive)
    thread.start()
    assert sweep_ledgers().stopped == late.arns
    thread.join()
    assert late.arns[0] not in engine.alive()


def test_while_ecs_need_not_show_a_launch_its_entry_is_left_to_the_next_sweep(
    victim: Callable[[str], Victim], engine: EngineOfTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = _Late(victim("time.sleep(60)"), engine)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", engine.engine.credentials.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", engine.engine.credentials.secret_access_key)
    late.in_an_account()
    (left,) = sweep_ledgers().left
    assert "its launch was under way when its process ended" in left
    late.arrive()
    swept = sweep_ledgers()
    assert (swept.stopped, swept.left) == (late.arns, [])


class _Late:
    """A killed process's RunTask, which has yet to come to ECS."""

    def __init__(self, lost: Victim, engine: EngineOfTests) -> None:
        self._aws, self.arns = engine.aws, list[str]()
        task = self._aws.call("ecs", "DescribeTasks", cluster="local", tasks=[lost.arn], include=["TAGS"])["tasks"][0]
        self._request = {key: task[key] for key in ("startedBy", "tags", "launchType", "overrides")}
        self._request["taskDefinition"] = task["taskDefinitionArn"]
        subnets = {"subnets": engine.engine.subnets}
        self._request["networkConfiguration"] = {"awsvpcConfiguration": subnets}
        for override in self._request["overrides"]["containerOverrides"]:
            override.pop("cpu", None)
        lost.end(signal.SIGKILL)
        self._aws.call("ecs", "StopTask", cluster="local", task=lost.arn)
        self._ledger = Ledger("crash").path
        entry = tags_of(task)[TAG_LEDGER]
        events = [json.loads(line) for line in self._ledger.read_text().splitlines() if entry in line]
        names = [event["event"] for event in events]
        self._write([{**event, "t": time.time()} for event in events[: names.index("launching") + 1]])

    def _write(self, events: list[dict[str, Any]]) -> None:
        self._events = events
        self._ledger.write_text("".join(f"{json.dumps(event)}\n" for event in events))

    def in_an_account(self) -> None:
        """And six seconds ago."""
        events = [{**event, "t": event["t"] - 6} for event in self._events]
        for event in events:
            event.pop("engine_directory", None)
        self._write(events)

    def arrive(self) -> None:
        answer = self._aws.call("ecs", "RunTask", cluster="local", **self._request)
        self.arns.append(answer["tasks"][0]["taskArn"])


def test_whoever_ends_the_run_ends_all_of_it(engine: EngineOfTests, sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine, other = sandbox(run_id="whole"), sandbox(run_id="another")
    mine.start()
    other.start()
    assert sweep_run("whole").stopped == [mine.task_arn]
    assert other.task_arn in engine.alive()


def test_what_is_past_its_time_is_swept_from_anywhere_and_only_for_its_owner(
    engine: EngineOfTests, sandbox: Callable[..., EcsFargateSandbox]
) -> None:
    me = "me, of the (nightly) build"  # with signs that no tag takes
    mine, stranger, young = sandbox(owner=me), sandbox(owner="you"), sandbox(owner=me)
    for each in (mine, stranger, young):
        each.start()
    for each in (mine, stranger):  # as if their own clock had not ended them
        tags = [{"key": "fargate-sandbox:expires", "value": "1000"}]
        engine.aws.call("ecs", "TagResource", resourceArn=str(each.task_arn), tags=tags)
    assert sweep_expired(engine.aws, "local", me).stopped == [mine.task_arn]
    left = {task["taskArn"] for task in owned_tasks(engine.aws, "local", me) if not is_ending(task)}
    assert left == {young.task_arn}
    assert stranger.task_arn in engine.alive()

"""Another process carries on with a sandbox: while the first one lives, after it was killed, after the task died."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox
from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.sweeping import sweep_ledgers, sweep_run
from tests.warm_python import Popen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine_of_tests import EngineOfTests

FIRST = """
import json, sys
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
sandbox = EcsFargateSandbox(cfg, task_id="moves", run_id="moving")
sandbox.start()
sandbox.write_file("/tmp/mark", "by the first")
"""
NEXT = """
import json, sys
from pytest_fargate_sandbox import EcsFargateSandbox
sandbox = EcsFargateSandbox.from_state(json.loads(sys.argv[1]))
"""
SAY = "print(json.dumps(sandbox.to_state()), flush=True)\n"


class Process:
    """One that has a sandbox, whose state it has told; it ends as ``then`` says when it is told to go on."""

    def __init__(self, script: str, *args: str, say: str = SAY, then: str = "") -> None:
        self.process = Popen[str](
            ["-c", f"{script}{say}sys.stdin.readline()\n{then}", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.state: dict[str, Any] = json.loads(line)

    def end(self, number: int | None = None) -> None:
        if number is not None:
            self.process.send_signal(number)
        _, errors = self.process.communicate("\n", timeout=20)
        assert self.process.returncode == (-number if number else 0), errors


@pytest.fixture
def process(engine: EngineOfTests) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(script: str, *args: str, **more: str) -> Process:
        made.append(Process(script, *args, **more))
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()
    for arn in {each.state["task_arn"] for each in made} & set(engine.alive()):
        engine.aws.call("ecs", "StopTask", cluster="local", task=arn)


def test_whoever_took_it_over_has_it_while_the_first_one_lives_and_ends(
    process: Callable[..., Process], engine: EngineOfTests
) -> None:
    first = process(FIRST, then="with sandbox: pass")
    keys = Path(first.state["keys"])
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert "PRIVATE KEY" in keys.read_text()
    assert "PRIVATE KEY" not in json.dumps(first.state)
    with EcsFargateSandbox.from_state(first.state) as mine:
        assert mine.exec("cat /tmp/mark").stdout == "by the first"
        first.end()
        assert sweep_run("moving").stopped == [], "the end of the first one's run does not end it either"
        assert sweep_ledgers().stopped == []
        assert mine.exec("cat /tmp/mark").stdout == "by the first"
    assert first.state["task_arn"] not in engine.alive()
    assert not keys.exists()
    with pytest.raises(SandboxError, match=r"the sandbox is over: .* was stopped"):
        EcsFargateSandbox.from_state(first.state)


def test_until_somebody_takes_it_over_it_ends_with_the_first_one(
    process: Callable[..., Process], engine: EngineOfTests
) -> None:
    first = process(FIRST)
    first.end(signal.SIGTERM)
    assert first.state["task_arn"] not in engine.alive()
    assert not Path(first.state["keys"]).exists()


def test_after_the_first_was_killed_the_next_one_carries_on_and_what_it_leaves_is_swept(
    process: Callable[..., Process], engine: EngineOfTests
) -> None:
    first = process(FIRST)
    first.end(signal.SIGKILL)
    assert sweep_ledgers().stopped == [], "it waits for somebody who has its state"
    second = process(
        NEXT, json.dumps(first.state), say="sandbox.read_file('/tmp/mark')\nprint(sys.argv[1], flush=True)\n"
    )
    assert sweep_ledgers().stopped == []
    second.end(signal.SIGKILL)
    assert sweep_ledgers().stopped == [first.state["task_arn"]], "its owner is dead, and told nobody of it"
    assert first.state["task_arn"] not in engine.alive()


def test_a_chain_of_processes_has_one_owner_at_a_time(process: Callable[..., Process], engine: EngineOfTests) -> None:
    first = process(FIRST)
    second = process(NEXT, json.dumps(first.state))
    third = process(NEXT, json.dumps(second.state))
    for each in (first, second):
        each.end(signal.SIGTERM)
        assert first.state["task_arn"] in engine.alive()
    third.end()
    assert first.state["task_arn"] not in engine.alive()


def test_detach_leaves_it_to_whoever_comes(process: Callable[..., Process], engine: EngineOfTests) -> None:
    first = process(FIRST, then="sandbox.detach()")
    second = EcsFargateSandbox.from_state(first.state)
    second.detach()
    first.end()
    assert sweep_ledgers().stopped == []
    assert first.state["task_arn"] in engine.alive()
    EcsFargateSandbox.from_state(first.state).stop()
    assert first.state["task_arn"] not in engine.alive()


def test_a_state_whose_task_died_says_of_what(sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests) -> None:
    mine = sandbox(run_id="dying")
    mine.start()
    state = mine.to_state()
    engine.aws.call("ecs", "StopTask", cluster="local", task=state["task_arn"], reason="somebody did")
    with pytest.raises(SandboxError, match="somebody did") as caught:
        EcsFargateSandbox.from_state(state)
    assert caught.value.context["cause"] == Cause.STOPPED_BY_USER
    (entry,) = Ledger("dying").entries()
    assert entry.owner_lives, "who fails to take it over does not own it"


def test_what_is_no_state_or_whose_keys_are_not_this_users_alone_is_refused(
    sandbox: Callable[..., EcsFargateSandbox], tmp_path: Path
) -> None:
    mine = sandbox()
    mine.start()
    state = mine.to_state()
    assert mine.to_state() == state
    loose = tmp_path / "loose"
    loose.write_text(Path(state["keys"]).read_text())
    loose.chmod(0o644)
    other = tmp_path / "other"
    other.write_text("{}")
    other.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(state["keys"])
    for bad, told in (
        ({}, "not what to_state"),
        ([state], "not what to_state"),
        ({**state, "version": 2}, "not what to_state"),
        ({**state, "keys": 5}, "not what to_state"),
        ({**state, "keys": str(loose)}, "not a file of this user alone"),
        ({**state, "keys": str(other)}, "no keys of a sandbox"),
        ({**state, "keys": str(link)}, "cannot be read"),
        ({**state, "keys": str(tmp_path)}, "not a file of this user alone"),
        ({**state, "task_arn": "arn:another"}, "not of arn:another"),
    ):
        with pytest.raises(ConfigError, match=told):
            EcsFargateSandbox.from_state(bad)  # type: ignore[arg-type]
    assert mine.exec("true").ok


def test_only_a_sandbox_that_runs_has_a_state(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    with pytest.raises(SandboxError, match="not running"):
        sandbox().to_state()

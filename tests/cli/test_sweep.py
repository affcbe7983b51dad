"""``fargate-sandbox sweep`` behind processes that were killed: what it ends, what it leaves alone, what it says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.leaves.names import TAG_OWNER
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.place.local_cluster import local_engine
from pytest_fargate_sandbox.providers.aws.aws_patience import patience_for
from pytest_fargate_sandbox.records.ledger import Ledger
from tests.warm_python import Popen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

SCRIPT = """
import sys
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
sandboxes = [EcsFargateSandbox(cfg, task_id=name, run_id="killed") for name in sys.argv[1:]]
for sandbox in sandboxes:
    sandbox.start()
    print(sandbox.task_arn, flush=True)
    if sandbox.task_id == "kept":
        sandbox.keep()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def aws(warm_engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:  # noqa: ARG001
    """An engine that this process holds, so that it outlives the others that use it."""
    home = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOG", "OPTIONS", "LAUNCH_DELAY"):
            patch.delenv(f"FARGATE_ENGINE_{name}", raising=False)
        patch.setenv("FARGATE_ENGINE_DIR", str(home / "engine"))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        yield local_engine().connect()


@pytest.fixture
def killed(aws: Aws) -> Callable[..., list[str]]:  # noqa: ARG001  the engine must be there first
    """``killed(*names)``: the tasks of a process that has started these sandboxes and was killed."""

    def kill(*names: str) -> list[str]:
        process = Popen[str](["-c", SCRIPT, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        arns = [line.strip() for line in iter(process.stdout.readline, "ready\n")]
        process.kill()
        process.communicate()
        return arns

    return kill


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An endpoint that takes connections and never answers, where a dead process left one task, and kept another."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ledger = Ledger("silent")
        for end in ("launched", "kept"):
            entry = ledger.open_entry(cluster="far", region="nowhere-1", endpoint_url=url, owner="me", ttl=10**6)
            ledger.write(entry, "launching", pid=1, pid_began="another boot/1")
            ledger.write(entry, "launched", task_arn=f"arn:aws:ecs:nowhere-1:1:task/far/{end}")
            ledger.write(entry, end)
        yield listener
        ledger.drop()


def test_what_an_endpoint_has_said_is_obeyed_by_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    ledger, title = Ledger("lied"), "\x1b]0;title\x07\nsecond line"
    entry = ledger.open_entry(cluster="far", region="nowhere-1", endpoint_url="http://127.0.0.1:9", owner="me", ttl=9)
    ledger.write(entry, "launching", pid=1, pid_began="another boot/1")
    ledger.write(entry, "launched", task_arn=f"arn:aws:ecs:nowhere-1:1:task/far/{title}")
    said = []
    for command in (["ps"], ["sweep"], ["stop", "--all"]):
        assert main(command) == 1
        said += capsys.readouterr()
    assert "title" in "".join(said)
    assert not [each for each in said if "\x1b" in each or "\nsecond" in each]


def alive(aws: Aws) -> set[str]:
    return set(aws.call("ecs", "ListTasks", cluster="local", desiredStatus="RUNNING")["taskArns"])


def test_what_a_killed_process_left_is_stopped_and_named_and_what_it_kept_is_not(
    killed: Callable[..., list[str]], aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, kept = killed("lost", "kept")
    for _ in range(2):
        assert main(["sweep", "--dry-run"]) == 0
        assert capsys.readouterr().out == f"would stop {lost}\n1 to sweep\n"
    assert {lost, kept} <= alive(aws)
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == f"stopped {lost}\n1 swept\n"
    assert alive(aws) == {kept}
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == "nothing to sweep\n"
    assert main(["stop", "--kept"]) == 0
    assert alive(aws) == set()


def active(aws: Aws) -> set[str]:
    return {
        arn.rpartition("/")[2] for arn in aws.call("ecs", "ListTaskDefinitions", status="ACTIVE")["taskDefinitionArns"]
    }


def test_definitions_that_nobody_uses_are_deregistered_and_no_others(
    killed: Callable[..., list[str]], aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    (lost,) = killed("lost")
    (task,) = aws.call("ecs", "DescribeTasks", cluster="local", tasks=[lost])["tasks"]
    ours = task["taskDefinitionArn"]
    main_container = {"name": "main", "image": "host", "memory": 64}
    for family, owner in ((f"x-{'0' * 40}", "somebody else"), ("mine", f"local/{os.getuid()}")):
        tags = [{"key": TAG_OWNER, "value": owner}]
        aws.call("ecs", "RegisterTaskDefinition", family=family, containerDefinitions=[main_container], tags=tags)
    others = active(aws) - {ours.rpartition("/")[2]}
    sweep = ["sweep", "--cluster", "local", "--definitions"]
    assert main([*sweep, "0", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"would stop {lost}\n1 to sweep\n", "a live task needs it"
    assert main(["sweep"]) == 0
    capsys.readouterr()
    assert main([*sweep, "1"]) == 0
    assert capsys.readouterr().out == "nothing to sweep\n", "it was used today"
    assert main([*sweep, "0", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"would deregister {ours}\n1 to sweep\n"
    assert main([*sweep, "0"]) == 0
    assert capsys.readouterr().out == f"deregistered {ours}\n1 swept\n"
    assert active(aws) == others
    assert killed("again"), "it is registered again when it is needed"
    assert main(["sweep"]) == 0


@pytest.mark.parametrize("words", [["--definitions", "30"], ["--region", "r"], ["--owner", "o"]])
def test_what_is_said_of_a_cluster_that_is_not_named_is_told(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *words]) == 1
    assert capsys.readouterr().err.startswith(f"fargate-sandbox: {words[0]} wants --cluster NAME")


def test_what_was_over_already_is_not_said_to_have_been_stopped(
    killed: Callable[..., list[str]], aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    over, lost = killed("over", "lost")
    aws.call("ecs", "StopTask", cluster="local", task=over)

    def stopped() -> bool | None:
        (task,) = aws.call("ecs", "DescribeTasks", cluster="local", tasks=[over])["tasks"]
        return task["lastStatus"] == "STOPPED" or None

    wait_until(stopped, deadline=20, what="the end of the task")
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == f"stopped {lost}\n1 swept\n"


def test_a_task_that_nobody_knows_any_more_is_not_said_to_have_been_stopped(
    killed: Callable[..., list[str]], aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    (lost,) = killed("lost")
    ledger = Ledger("killed").path
    events = (
        json.loads(line)
        for line in ledger.read_text().replace(lost, f"{lost.rpartition('/')[0]}/{'0' * 32}").split("\n")
        if line
    )
    ledger.write_text("".join(json.dumps(event | {"t": event["t"] - 61}) + "\n" for event in events))
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == "nothing to sweep\n"
    aws.call("ecs", "StopTask", cluster="local", task=lost)


def test_a_damaged_ledger_still_tells_what_to_sweep(
    killed: Callable[..., list[str]], aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line is half, one is rubbish, one is missing keys, and one entry has lost the line that told its place."""
    (lost,) = killed("lost")
    with Ledger("killed").path.open("ab") as file:
        file.write(b'{"entry": "a", "ev\n\x00\xff\n[1]\n{"event": "launching"}\n{"entry": ')
    Ledger("killed").write("no-place", "launching")
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == f"stopped {lost}\n1 swept\n"
    assert lost not in alive(aws)


def test_a_place_that_does_not_answer_is_named_and_keeps_nobody_from_the_others(
    killed: Callable[..., list[str]], aws: Aws, silent: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, kept = killed("lost", "kept")
    name = f"cluster far at http://127.0.0.1:{silent.getsockname()[1]}"
    began = time.monotonic()
    assert main(["ps", "-q"]) == 1
    assert time.monotonic() - began < 2 * patience_for("DescribeTasks").total
    shown = capsys.readouterr()
    assert set(shown.out.split()) == {lost.rpartition("/")[2], kept.rpartition("/")[2]}
    assert f"{name} cannot be asked about 2 tasks" in shown.err
    began = time.monotonic()
    assert main(["logs", kept.rpartition("/")[2]]) == 0
    capsys.readouterr()
    assert time.monotonic() - began < patience_for("DescribeTasks").read, "nobody asked where the task is not"

    silent.close()  # to be refused takes less time than to wait
    assert main(["sweep"]) == 1
    swept = capsys.readouterr()
    assert swept.out == f"stopped {lost}\n1 swept\n"
    assert f"far/launched of {name} may still run: ecs StopTask" in swept.err
    assert main(["stop", "--kept"]) == 1
    stopped = capsys.readouterr()
    assert stopped.out == f"{kept.rpartition('/')[2]} stopped\n"
    assert name in stopped.err
    assert alive(aws) == set()
    assert main(["stop", "launched"]) == 1
    assert name in capsys.readouterr().err
    assert [entry.is_over for entry in Ledger("silent").entries()] == [False, False]

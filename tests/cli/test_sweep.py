"""``fargate-sandbox sweep`` behind processes that were killed: what it ends, what it leaves alone, what it says."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.place.local_cluster import local_engine
from pytest_fargate_sandbox.records.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
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
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        arns = [line.strip() for line in iter(process.stdout.readline, "ready\n")]
        process.kill()
        process.communicate()
        return arns

    return kill


def alive(aws: Aws) -> set[str]:
    return set(aws.call("ecs", "ListTasks", cluster="local", desiredStatus="RUNNING")["taskArns"])


def test_what_a_killed_process_left_is_stopped_and_named_and_what_it_kept_is_not(
    killed: Callable[..., list[str]], aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, kept = killed("lost", "kept")
    assert {lost, kept} <= alive(aws)
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == f"stopped {lost}\n1 swept\n"
    assert alive(aws) == {kept}
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == "nothing to sweep\n"
    assert main(["stop", "--kept"]) == 0
    assert alive(aws) == set()


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
    ledger.write_text(ledger.read_text().replace(lost, f"{lost.rpartition('/')[0]}/{'0' * 32}"))
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

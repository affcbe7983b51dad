"""The whole vertical line, from a configuration to a process in a container."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox, ExecClient, Sandbox
from pytest_fargate_sandbox.leaves.errors import (
    ExecFailed,
    ExecTimeout,
    SandboxError,
    SandboxLost,
    StartError,
)
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.records.kept_tasks import kept_tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests


def test_the_first_thing_that_a_user_does(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    with sandbox("hello") as mine:
        assert not mine.is_running, "entering does not start"
        mine.start()
        result = mine.exec("echo hello; echo trouble >&2; exit 3")
        assert (result.stdout, result.stderr, result.return_code) == ("hello\n", "trouble\n", 3)
        assert isinstance(mine, Sandbox)
        assert mine.is_running
    assert not mine.is_running


def test_start_and_stop_are_idempotent(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    mine = sandbox()
    mine.stop()
    mine.start()
    arn = mine.task_arn
    mine.start()
    assert mine.task_arn == arn
    client = ExecClient(port=mine.local_port)
    assert client.exec("echo this process holds its token").ok
    client.close()
    mine.stop()
    mine.stop()
    assert arn not in engine.alive()
    assert mine.task_arn is None
    assert mine.describe_task() is None
    ours = [(each.levelname, each.getMessage()) for each in caplog.records if "machine" in each.name]
    assert ours[0] == ("INFO", f"test: is task {arn} of image host")
    assert [message.partition(" after")[0] for _, message in ours[1:]] == ["test: is ready", "test: is stopped"]
    assert "filelock" not in {each.name for each in caplog.records}
    assert "(a private key)" in caplog.text
    assert "PRIVATE KEY--" not in caplog.text


def test_a_stopped_sandbox_says_so(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    with pytest.raises(SandboxError, match="not running"):
        sandbox().exec("true")


def test_commands_and_relative_paths_start_from_the_sandboxs_directory(
    sandbox: Callable[..., EcsFargateSandbox], tmp_path: Path
) -> None:
    mine = sandbox()
    mine.start()
    mine.cwd = "/srv"
    mine.mkdir("work")
    mine.cwd = "/srv/work"
    mine.write_file("file", "here")
    assert mine.exec("pwd; cat file").stdout == "/srv/work\nhere"
    assert mine.exec("pwd", cwd="..").stdout == "/srv\n"
    assert (mine.list_files("."), mine.glob("*"), mine.read_file("/srv/work/file")) == (["file"], ["file"], b"here")
    assert mine.artifacts.read("file").content == "here"
    mine.download("file", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "here"
    mine.stop()


def test_a_sandbox_can_be_started_again(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    first = mine.task_arn
    mine.stop()
    mine.start()
    assert mine.task_arn != first
    assert mine.exec("true").ok


def test_a_start_tells_how_long_each_phase_took(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    assert list(mine.phases) == ["image", "definition", "launch", "address", "tunnel", "server"]
    assert mine.image == "host"


def test_a_task_is_described_in_few_words(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    description = mine.describe_task()
    assert description is not None
    assert set(description) == {"taskArn", "lastStatus", "desiredStatus", "stopCode", "stoppedReason"}
    assert description["lastStatus"] == "RUNNING"


def test_commands_see_the_configured_environment(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox("a_task", extra_env={"ID": "{task_id}", "IP": "{task_ip}", "JSON": '{"a": {}}', "NEWLINE": "a\nb"})
    mine.start()
    result = mine.exec(["sh", "-c", 'printf "%s|" "$ID" "$IP" "$JSON" "$NEWLINE" "$HOSTNAME"'])
    assert result.stdout == f'a_task|{mine.task_ip}|{{"a": {{}}}}|a\nb|a-task|'


def test_checked_commands_raise(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    with pytest.raises(ExecFailed, match="returned 7"):
        mine.exec("exit 7", check=True)
    with pytest.raises(ExecTimeout):
        mine.exec("echo early; sleep 60", timeout_sec=0.3, check=True)
    assert [result.return_code for result in mine.history] == [7, 124]


def test_the_first_of_a_kind_costs_five_calls_and_the_next_three(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    def cost(run: str) -> dict[str, int]:
        before = engine.count()
        mine = sandbox(run_id=run, image_template="host", task_definition_family_prefix="of-this-test-alone")
        mine.start()
        assert mine.exec("true").ok
        mine.stop()
        return dict(engine.count() - before)

    first, second = cost("run-1"), cost("run-2")
    assert sum(first.values()) <= 5
    assert first["RegisterTaskDefinition"] == 1
    assert sum(second.values()) <= 3
    assert "RegisterTaskDefinition" not in second


def test_another_process_registers_nothing(sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests) -> None:
    mine = sandbox()
    mine.start()
    before = engine.count()
    code = """
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
with EcsFargateSandbox(cfg, task_id="other", run_id="other") as sandbox:
    sandbox.start()
    print(sandbox.exec("echo there").stdout, end="")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("there\n", 0), done.stderr
    assert dict(engine.count() - before) == {"RunTask": 1, "StopTask": 1}


def test_a_definition_that_somebody_deregistered_is_registered_again(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox(memory="2048")
    mine.start()
    arn = engine.task(str(mine.task_arn))["taskDefinitionArn"]
    mine.stop()
    engine.aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
    mine.start()
    assert engine.task(str(mine.task_arn))["taskDefinitionArn"] != arn


def test_everything_on_a_task_says_whose_it_is(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox("my task", run_id="my run", owner="me", tags={"team": "x"}, max_task_lifetime_sec=100)
    mine.start()
    task = engine.task(str(mine.task_arn))
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert task["startedBy"] == "fargate-sandbox/me"
    assert tags["fargate-sandbox:owner"] == "me"
    assert tags["fargate-sandbox:run"] == "my run"
    assert tags["fargate-sandbox:task"] == "my task"
    assert tags["team"] == "x"
    assert abs(float(tags["fargate-sandbox:expires"]) - time.time() - 100) < 30
    assert "fargate-sandbox:ledger" in tags


def test_no_secret_is_on_the_control_plane(sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests) -> None:
    """Who may describe tasks sees the host key of the sidecar, and neither the token nor the key that lets us in."""
    mine = sandbox()
    mine.start()
    described = str(engine.task(str(mine.task_arn)))
    assert mine.running().keyring.token not in described
    assert mine.running().keyring.client.private.splitlines()[2] not in described


def test_the_time_to_live_is_in_the_task(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox(max_task_lifetime_sec=2)
    mine.start()
    with pytest.raises(SandboxLost) as caught:
        mine.exec("sleep 60")
    assert caught.value.cause == Cause.EXPIRED
    assert "max_task_lifetime_sec" in str(caught.value)


def test_files_and_trees_go_both_ways(sandbox: Callable[..., EcsFargateSandbox], tmp_path: Path) -> None:
    mine = sandbox()
    mine.start()
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "ünï code").write_bytes(bytes(range(256)))
    (tree / "link").symlink_to("sub")
    mine.upload(tree, "/tmp/there")
    mine.upload(tree / "sub" / "ünï code", "/tmp/new/parents/file")
    assert mine.read_file("/tmp/new/parents/file") == bytes(range(256))
    assert mine.list_files("/tmp/there") == ["link", "sub"]
    mine.download("/tmp/there", tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "ünï code").read_bytes() == bytes(range(256))
    assert (tmp_path / "back" / "link").readlink().as_posix() == "sub"
    mine.write_file("/tmp/small", "text")
    assert mine.exec("cat /tmp/small").stdout == "text"


def test_a_background_process_has_a_handle(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    process = mine.spawn(["cat"])
    process.write("hello", end=True)
    assert process.wait(timeout=10).stdout == "hello"


def test_many_sandboxes_share_one_poller(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    several = [sandbox(f"t{number}") for number in range(4)]
    threads = [threading.Thread(target=each.start) for each in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.exec("echo $HOSTNAME").stdout for each in several] == [f"t{number}\n" for number in range(4)]
    pollers = [thread for thread in threading.enumerate() if thread.name == "fargate-sandbox-poller"]
    assert len(pollers) == 1


def test_no_thread_is_left_when_the_last_sandbox_is_stopped(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    before = set(threading.enumerate())
    mine = sandbox()
    mine.start()
    mine.stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(3)
        assert not thread.is_alive(), thread.name


def test_stopping_is_quick_and_does_not_wait(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    began = time.monotonic()
    mine.stop()
    assert time.monotonic() - began < 0.3


def test_a_kept_sandbox_can_be_entered_again(sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests) -> None:
    mine = sandbox("keeper")
    mine.start()
    mine.write_file("/tmp/mark", "mine")
    kept = mine.keep()
    assert not mine.is_running
    assert kept.task_arn in engine.alive()
    tags = {tag["key"]: tag["value"] for tag in engine.task(kept.task_arn)["tags"]}
    assert tags["fargate-sandbox:kept"] == "true"
    again = EcsFargateSandbox.attach(kept)
    assert again.exec("cat /tmp/mark").stdout == "mine"
    again.detach()
    assert kept.task_arn in engine.alive()
    again = EcsFargateSandbox.attach(kept)
    again.stop()
    assert kept.task_arn not in engine.alive()
    assert kept.task_arn not in [each.task_arn for each in kept_tasks()], "the keys go with the task"
    with pytest.raises(StartError):
        EcsFargateSandbox.attach(kept)

"""The whole vertical line, from a configuration to a process in a container."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, ExecClient, Sandbox, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import (
    ExecFailed,
    ExecTimeout,
    SandboxError,
    SandboxLost,
    StartError,
)
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.records.kept_tasks import kept_tasks
from tests import warm_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

ENVIRONMENT = {"ID": "{task_id}", "IP": "{task_ip}", "JSON": '{"a": {}}', "NEWLINE": "a\nb"}


@pytest.fixture(scope="module")
def shared(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    """For who only asks, and leaves no more than files of its own."""
    sidecar = SshSidecarConfig(exec_server_port=19542)
    cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=sidecar, extra_env=ENVIRONMENT)
    with EcsFargateSandbox(cfg, task_id="a_task", run_id="shared") as sandbox:
        sandbox.start()
        yield sandbox


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


@pytest.mark.parametrize("bound", [0, -1, "x", True])
def test_a_bound_that_is_none_is_told_before_anything_is_asked(
    shared: EcsFargateSandbox, tmp_path: Path, bound: Any
) -> None:
    told = f"={bound!r}: expected a whole number above 0"
    with pytest.raises(ValueError, match=f"^max_members{told}"):
        shared.save("/etc", to=tmp_path / "saved", max_members=bound)
    for verb in (shared.save, lambda path, **bounds: shared.download(path, tmp_path / "loaded", **bounds)):
        with pytest.raises(ValueError, match=f"^max_bytes{told}"):
            verb("/etc", max_bytes=bound)
    assert not list(tmp_path.iterdir())


def test_commands_and_relative_paths_start_from_the_sandboxs_directory(
    shared: EcsFargateSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "cwd", "/srv")
    shared.mkdir("work")
    shared.cwd = "/srv/work"
    shared.write_file("file", "here")
    assert shared.exec("pwd; cat file").stdout == "/srv/work\nhere"
    assert shared.exec("pwd", cwd="..").stdout == "/srv\n"
    listed = shared.list_files("."), shared.glob("*"), shared.read_file("/srv/work/file")
    assert listed == (["file"], ["file"], b"here")
    assert shared.artifacts.read("file").content == "here"
    shared.download("file", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "here"


def test_a_sandbox_can_be_started_again(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    first = mine.task_arn
    mine.write_file("/tmp/of-the-first", "x")
    mine.stop()
    with pytest.raises(
        SandboxError, match=r"^the sandbox is not running: start\(\) launches .*, after a stop\(\) another"
    ):
        mine.exec("true")
    mine.start()
    assert mine.task_arn != first
    assert mine.exec("true").ok


def test_a_start_tells_how_long_each_phase_took(shared: EcsFargateSandbox) -> None:
    assert list(shared.phases) == ["image", "definition", "launch", "address", "tunnel", "server"]
    assert shared.image == "host"


def test_a_task_is_described_in_few_words(shared: EcsFargateSandbox) -> None:
    description = shared.describe_task()
    assert description is not None
    assert set(description) == {"taskArn", "lastStatus", "desiredStatus", "stopCode", "stoppedReason"}
    assert description["lastStatus"] == "RUNNING"


def test_commands_see_the_configured_environment(shared: EcsFargateSandbox) -> None:
    result = shared.exec(["sh", "-c", 'printf "%s|" "$ID" "$IP" "$JSON" "$NEWLINE" "$HOSTNAME"'])
    assert result.stdout == f'a_task|{shared.task_ip}|{{"a": {{}}}}|a\nb|a-task|'


def test_checked_commands_raise(shared: EcsFargateSandbox) -> None:
    with pytest.raises(ExecFailed, match="returned 7"):
        shared.exec("exit 7", check=True)
    with pytest.raises(ExecTimeout):
        shared.exec("echo early; sleep 60", timeout_sec=0.3, check=True)
    assert [result.return_code for result in shared.history][-2:] == [7, 124]


@pytest.mark.parametrize("how", ["wait", "poll", "on_output"])
def test_the_end_of_a_spawned_command_is_remembered_where_somebody_saw_it(shared: EcsFargateSandbox, how: str) -> None:
    follow = print if how == "on_output" else None
    process = shared.spawn("echo said; sleep 0.2; exit 3", on_output=follow)
    at_first = shared.history[-1]
    shared.exec("true")
    assert (at_first.state, at_first.return_code) == ("in the background", None)
    if how == "wait":
        process.wait()
    else:
        see = process.poll if how == "poll" else lambda: shared.history[-2].return_code
        wait_until(see, deadline=5.0, what="its end")
    past = shared.history[-2]
    assert (past.command, past.began, past.state, past.return_code) == (at_first.command, at_first.began, "exit 3", 3)
    assert 0.2 <= past.duration_sec < 5
    assert how != "wait" or past.stdout == "said\n"


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


def test_another_process_registers_nothing(shared: EcsFargateSandbox, engine: EngineOfTests) -> None:
    assert shared.is_running
    before = engine.count()
    code = """
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
with EcsFargateSandbox(cfg, task_id="other", run_id="other") as sandbox:
    sandbox.start()
    print(sandbox.exec("echo there").stdout, end="")
"""
    done = warm_python.run("-c", code)
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


def test_no_secret_is_on_the_control_plane(shared: EcsFargateSandbox, engine: EngineOfTests) -> None:
    """Who may describe tasks sees the host key of the sidecar, and neither the token nor the key that lets us in."""
    described = str(engine.task(str(shared.task_arn)))
    assert shared.running().keyring.token not in described
    assert shared.running().keyring.client.private.splitlines()[2] not in described


def test_the_time_to_live_is_in_the_task(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox(max_task_lifetime_sec=2)
    mine.start()
    with pytest.raises(SandboxLost) as caught:
        mine.exec("sleep 60")
    assert caught.value.cause == Cause.EXPIRED
    assert "max_task_lifetime_sec" in str(caught.value)


def test_files_and_trees_go_both_ways(shared: EcsFargateSandbox, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "ünï code").write_bytes(bytes(range(256)))
    (tree / "link").symlink_to("sub")
    shared.upload(tree, "/tmp/there")
    shared.upload(tree / "sub" / "ünï code", "/tmp/new/parents/file")
    assert shared.read_file("/tmp/new/parents/file") == bytes(range(256))
    assert shared.list_files("/tmp/there") == ["link", "sub"]
    shared.download("/tmp/there", tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "ünï code").read_bytes() == bytes(range(256))
    assert (tmp_path / "back" / "link").readlink().as_posix() == "sub"
    shared.write_file("/tmp/small", "text")
    assert shared.exec("cat /tmp/small").stdout == "text"


def test_a_background_process_has_a_handle(shared: EcsFargateSandbox) -> None:
    process = shared.spawn(["cat"])
    process.write("hello", end=True)
    assert process.wait(timeout=10).stdout == "hello"


def test_many_sandboxes_share_one_poller(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    several = [sandbox(f"t{number}") for number in range(2)]
    threads = [threading.Thread(target=each.start) for each in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.exec("echo $HOSTNAME").stdout for each in several] == [f"t{number}\n" for number in range(2)]
    pollers = [thread for thread in threading.enumerate() if thread.name == "fargate-sandbox-poller"]
    assert len(pollers) == 1


def test_stopping_does_not_wait_for_the_tasks_end(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    mine = sandbox()
    mine.start()
    held = mine.spawn("trap '' TERM; echo holds; while :; do sleep 0.05; done")  # its task, for the grace it has
    assert held.read(timeout=10) == b"holds\n"
    arn = str(mine.task_arn)
    mine.stop()
    assert engine.task(arn)["lastStatus"] != "STOPPED"


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
    assert again.exec("cat /tmp/mark; echo in its log > $CONTAINER_LOG").stdout == "mine"
    wait_until(lambda: "in its log" in again.logs() or None, deadline=30, what="the line in the log")
    again.detach()
    assert kept.task_arn in engine.alive()
    again = EcsFargateSandbox.attach(kept)
    again.stop()
    assert kept.task_arn not in engine.alive()
    assert kept.task_arn not in [each.task_arn for each in kept_tasks()], "the keys go with the task"
    with pytest.raises(StartError):
        EcsFargateSandbox.attach(kept)

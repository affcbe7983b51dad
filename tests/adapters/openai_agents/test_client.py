"""Sessions begin, end, and are found again."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from agents.sandbox import Manifest, SandboxRunConfig
from agents.sandbox.entries import File, S3Mount
from agents.sandbox.entries.mounts.base import InContainerMountStrategy
from agents.sandbox.entries.mounts.patterns import MountpointMountPattern
from agents.sandbox.errors import (
    ConfigurationError,
    ErrorCode,
    ExecTransportError,
    MountConfigError,
    WorkspaceStartError,
)
from agents.sandbox.sandboxes.unix_local import UnixLocalSandboxClient
from agents.sandbox.session import SandboxSessionState
from agents.sandbox.session.sandbox_client import BaseSandboxClientOptions
from agents.sandbox.snapshot import LocalSnapshotSpec, NoopSnapshot

from pytest_fargate_sandbox import ConfigError
from pytest_fargate_sandbox.adapters.openai_agents import (
    FargateSandboxClient,
    FargateSandboxClientOptions,
    FargateSandboxSessionState,
    FargateTimeouts,
)
from tests.adapters.openai_agents.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine_of_tests import EngineOfTests

    Run = Callable[..., Any]
    Alive = Callable[[], set[str]]

NOTE = Manifest(entries={"note": File(content=b"as it came\n")})


async def said(session: Any, command: str) -> str:
    return str((await session.exec(command)).stdout.decode())


# --- beginning and end -----------------------------------------------------------------------------------------------


def test_a_session_has_what_its_manifest_says_and_its_task_ends_with_it(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    async def act() -> None:
        async with client:
            session = await client.create(manifest=NOTE)
            assert len(alive()) == 1
            async with session:
                assert await said(session, "cat note") == "as it came\n"
                assert session.state.workspace_root_ready
            assert not alive()
            assert await client.delete(session) is session
            with pytest.raises(ExecTransportError, match="not running"):
                await session.exec("true")

    run(act())


def test_options_make_the_task_and_its_tags(
    run: Run, client: FargateSandboxClient, alive: Alive, engine: EngineOfTests
) -> None:
    options = FargateSandboxClientOptions(
        image="host", cpu=512, memory=1024, region="us-east-1", labels={"team": "ours"}, ttl="2m", name="all-of-them"
    )
    session = run(client.create(options=options))
    (arn,) = alive()
    task = engine.task(arn)
    assert {"key": "team", "value": "ours"} in task["tags"]
    assert (task["cpu"], task["memory"]) == ("512", "1024")
    assert session._inner.sandbox.blocking.cfg.max_task_lifetime_sec == 120
    assert session._inner.sandbox_name == "all-of-them"
    run(session.aclose())


def test_options_may_come_as_a_dictionary(client: FargateSandboxClient) -> None:
    config = SandboxRunConfig(client=client, options={"name": "mine", "timeouts": {"exec_s": 120}})
    assert config.options == FargateSandboxClientOptions(name="mine", timeouts=FargateTimeouts(exec_s=120))
    assert FargateSandboxClientOptions("python:3.12-slim", 512).cpu == 512
    assert BaseSandboxClientOptions.parse(config.options.model_dump(mode="json")) == config.options


def test_a_start_that_is_given_up_leaves_no_task(run: Run, client: FargateSandboxClient, alive: Alive) -> None:
    async def act() -> None:
        starting = asyncio.ensure_future(client.create())
        await asyncio.sleep(0.2)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    run(act())
    assert not alive()


def test_what_keeps_a_task_from_starting_is_told_in_the_sdk_s_words(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    options = FargateSandboxClientOptions(image="no-such-image")
    with pytest.raises(WorkspaceStartError, match="no-such-image") as failed:
        run(client.create(options=options))
    assert failed.value.retryable is False
    assert failed.value.context["backend"] == "fargate"
    with pytest.raises(ConfigurationError, match="cpu") as refused:
        run(client.create(options=FargateSandboxClientOptions(cpu=300)))
    assert refused.value.error_code == ErrorCode.SANDBOX_CONFIG_INVALID
    assert not alive()


@pytest.mark.parametrize("root", ["/etc/passwd/x", "/proc/x"])
def test_a_workspace_that_cannot_be_made_keeps_its_session_from_starting(
    run: Run, client: FargateSandboxClient, alive: Alive, root: str
) -> None:
    async def act() -> None:
        session = await client.create(manifest=Manifest(root=root))
        with pytest.raises(WorkspaceStartError):
            await session.start()
        await client.delete(session)

    run(act())
    assert not alive()


def test_a_workspace_is_where_the_manifest_says(run: Run, client: FargateSandboxClient, alive: Alive) -> None:
    async def act() -> None:
        manifest = Manifest(root="/srv/of some/depth", entries={"a/file": File(content=b"here")})
        async with await client.create(manifest=manifest) as session:
            assert await said(session, "pwd; cat a/file") == "/srv/of some/depth\nhere"

    run(act())
    assert not alive()


class OwnMount(S3Mount):
    type: Literal["own_mount"] = "own_mount"


def test_a_mount_that_the_sdk_does_not_trust_is_refused_before_there_is_a_task(
    run: Run, client: FargateSandboxClient, engine: EngineOfTests
) -> None:
    strategy = InContainerMountStrategy(pattern=MountpointMountPattern())
    before = engine.count()["RunTask"]
    with pytest.raises(MountConfigError, match="custom mount"):
        run(client.create(manifest=Manifest(entries={"own": OwnMount(bucket="x", mount_strategy=strategy)})))
    assert engine.count()["RunTask"] == before


def test_sessions_of_another_client_are_not_taken(run: Run, client: FargateSandboxClient, tmp_path: Path) -> None:
    other = UnixLocalSandboxClient()
    foreign = run(other.create(manifest=Manifest(root=str(tmp_path)), options=None))
    with pytest.raises(TypeError, match="another client"):
        run(client.delete(foreign))
    with pytest.raises(TypeError, match="another client"):
        run(client.resume(foreign.state))


# --- what is no option -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ttl": "soon"}, "as in 30m"),
        ({"ttl": 0}, "as in 30m"),
        ({"ports": (0,)}, "greater than or equal to 1"),
        ({"ports": (65536,)}, "less than or equal to 65535"),
        ({"name": "../x"}, "letters, digits"),
        ({"timeouts": {"fast_s": 0.5}}, "greater than or equal to 1"),
        ({"timeouts": {"exec_s": float("inf")}}, "finite"),
        ({"timeouts": {"keepalive_s": 5}}, "Extra inputs are not permitted"),
        ({"exposed_port_public": True}, "Input should be False"),
        ({"gpu": 1}, "Extra inputs are not permitted"),
        ({"memory": "plenty"}, "valid integer"),
    ],
)
def test_what_is_no_option_is_refused_by_the_sdk_s_own_schema(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FargateSandboxClientOptions(**wrong)


def test_options_and_timeouts_do_not_change_and_have_defaults() -> None:
    options = FargateSandboxClientOptions()
    times = options.timeouts
    assert (times.exec_s, times.cleanup_s, times.upload_s, times.download_s) == (300, 30, 1800, 1800)
    assert (times.workspace_s, times.fast_s, options.pause_on_exit) == (300, 30, False)
    for value, name in ((options, "image"), (times, "exec_s")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(value, name, 5)


def test_a_setting_of_the_client_that_is_none_is_told_with_what_is_meant() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cluster'"):
        FargateSandboxClient({"clutser": "x"})


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_name_is_got_where_it_is_and_ends_with_the_last_session(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    async def act() -> None:
        options = FargateSandboxClientOptions(name="shared")
        first, second = await asyncio.gather(
            client.create(options=options), FargateSandboxClient().create(options=options)
        )
        assert len(alive()) == 1
        async with first, second:
            await first.write(Path("file"), io.BytesIO(b"of both"))
            assert await said(second, "cat file") == "of both"
            await first.shutdown()
            assert await said(second, "cat file") == "of both"
        assert not alive()

    run(act())


# --- left, and found again -------------------------------------------------------------------------------------------


def state_again(client: FargateSandboxClient, session: Any) -> SandboxSessionState:
    """By way of JSON, as it travels."""
    return client.deserialize_session_state(json.loads(json.dumps(client.serialize_session_state(session.state))))


def test_a_paused_session_is_found_as_it_was_left_with_its_processes(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    async def act() -> None:
        options = FargateSandboxClientOptions(pause_on_exit=True, ttl="5m")
        async with await client.create(options=options, manifest=NOTE) as session:
            await session.exec("echo changed > note; setsid sleep 86395 >/dev/null 2>&1 &")
        await client.delete(session)
        assert len(alive()) == 1
        state = state_again(client, session)
        async with await client.resume(state) as again:
            assert await said(again, "cat note; pgrep -fc '^sleep 86395'") == "changed\n1\n"
            again.state.pause_on_exit = False
        assert not alive()

    run(act())


def test_a_paused_one_that_is_gone_is_made_anew_under_its_name(
    run: Run, client: FargateSandboxClient, alive: Alive, engine: EngineOfTests
) -> None:
    async def act() -> None:
        options = FargateSandboxClientOptions(pause_on_exit=True, name="gone")
        async with await client.create(options=options, manifest=NOTE) as session:
            await session.exec("echo changed > note")
        (arn,) = alive()
        engine.aws.call("ecs", "StopTask", cluster="local", task=arn)
        await asyncio.to_thread(engine.wait_until_gone, arn)
        async with await client.resume(state_again(client, session)) as again:
            assert again._inner.sandbox_name == "gone"
            assert again.state.task_arn != arn
            assert await said(again, "cat note") == "as it came\n"
            again.state.pause_on_exit = False
        assert not alive()

    run(act())


def test_of_a_paused_one_that_stands_still_no_second_is_made(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    async def act() -> None:
        session = await client.create(options=FargateSandboxClientOptions(pause_on_exit=True))
        await session.start()
        await session.exec("echo kept > file")
        with frozen(session):
            await session.shutdown()
            again = await client.resume(state_again(client, session))
            assert len(alive()) == 1
            assert not await again.running()
        assert await said(again, "cat file") == "kept\n"
        again.state.pause_on_exit = False
        await again.shutdown()
        assert not alive()

    run(act())


def test_one_that_was_not_paused_is_made_anew_from_its_snapshot(
    run: Run, client: FargateSandboxClient, alive: Alive, tmp_path: Path
) -> None:
    async def act() -> None:
        snapshot = LocalSnapshotSpec(base_path=tmp_path)
        async with await client.create(snapshot=snapshot, manifest=NOTE) as session:
            await session.exec("echo changed > note; echo in-tmp > /tmp/file")
        assert not alive()
        async with await client.resume(state_again(client, session)) as again:
            assert await said(again, "cat note /tmp/file 2>&1; pwd") == (
                "changed\ncat: /tmp/file: No such file or directory\n/workspace\n"
            )
        assert not alive()

    run(act())


def test_a_session_whose_task_is_gone_is_started_again_in_a_new_one(
    run: Run, client: FargateSandboxClient, alive: Alive, engine: EngineOfTests
) -> None:
    async def act() -> None:
        session = await client.create(manifest=NOTE)
        await session.start()
        (arn,) = alive()
        engine.aws.call("ecs", "StopTask", cluster="local", task=arn)
        with pytest.raises(ExecTransportError) as lost:
            await session.exec("sleep 20")
        assert lost.value.retryable is False
        assert not await session.running()
        await session.start()
        assert await said(session, "cat note") == "as it came\n"
        await session.aclose()

    run(act())
    assert not alive()


_OTHER_PROCESS = """
import asyncio, json, sys
from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient, FargateSandboxClientOptions
async def act():
    client = FargateSandboxClient()
    session = await client.create(options=FargateSandboxClientOptions(pause_on_exit=True, name="from-elsewhere"))
    await session.start()
    await session.exec("echo kept > file")
    print(json.dumps(client.serialize_session_state(session.state)), flush=True)
    if sys.argv[1] == "dies":
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(act())
"""


@pytest.mark.parametrize("ending", ["ends", "dies"])
def test_what_another_process_has_paused_is_found_by_its_state_and_by_its_name(
    run: Run, client: FargateSandboxClient, alive: Alive, ending: str
) -> None:
    """Also where that process never came to close its session."""
    other = subprocess.run([sys.executable, "-c", _OTHER_PROCESS, ending], stdout=subprocess.PIPE, check=False)
    state = client.deserialize_session_state(json.loads(other.stdout))
    assert isinstance(state, FargateSandboxSessionState)

    async def act() -> None:
        by_state = await client.resume(state)
        async with by_state:
            assert await said(by_state, "cat file") == "kept\n"
        by_name = await client.create(options=FargateSandboxClientOptions(name="from-elsewhere"))
        assert len(alive()) == 1
        async with by_name:
            assert await said(by_name, "cat file") == "kept\n"
        assert not alive()

    run(act())


_INTERRUPTED = """
import asyncio
from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient
async def act():
    async with await FargateSandboxClient().create() as session:
        print("begun", flush=True)
        await session.exec("sleep 86381")
asyncio.run(act())
"""


def test_a_program_that_is_interrupted_leaves_no_task(alive: Alive) -> None:
    program = subprocess.Popen([sys.executable, "-c", _INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"begun\n"
        assert len(alive()) == 1
        program.send_signal(signal.SIGINT)
        program.wait(30)
    assert not alive()


def test_a_state_holds_no_keys_and_survives_json(client: FargateSandboxClient) -> None:
    state = FargateSandboxSessionState(
        manifest=Manifest(), snapshot=NoopSnapshot(id="x"), sandbox_name="mine", exposed_ports=(80, 80), ttl="1h"
    )
    payload = client.serialize_session_state(state)
    assert client.deserialize_session_state(dict(payload)) == state
    assert SandboxSessionState.parse(dict(payload)) == state
    assert "key" not in json.dumps(payload).lower().replace("key_authority", "")
    assert state.exposed_ports == (80,)

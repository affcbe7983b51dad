"""Sessions begin and end; what is no option; names."""

from __future__ import annotations

import asyncio
import io
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
from agents.sandbox.session.sandbox_client import BaseSandboxClientOptions

from pytest_fargate_sandbox import ConfigError
from pytest_fargate_sandbox.adapters.openai_agents import (
    FargateSandboxClient,
    FargateSandboxClientOptions,
    FargateTimeouts,
)
from tests.adapters.openai_agents.noted import NOTE, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine_of_tests import EngineOfTests

    Run = Callable[..., Any]
    Alive = Callable[[], set[str]]

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
    run: Run, client: FargateSandboxClient, engine: EngineOfTests, alive: Alive
) -> None:
    strategy = InContainerMountStrategy(pattern=MountpointMountPattern())
    before = engine.count()["RunTask"]
    with pytest.raises(MountConfigError, match="custom mount"):
        run(client.create(manifest=Manifest(entries={"own": OwnMount(bucket="x", mount_strategy=strategy)})))
    assert engine.count()["RunTask"] == before
    assert not alive()


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

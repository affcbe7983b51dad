"""Sessions that are left, and found again by their state or their name."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from agents.sandbox import Manifest
from agents.sandbox.errors import (
    ExecTransportError,
)
from agents.sandbox.session import SandboxSessionState
from agents.sandbox.snapshot import LocalSnapshotSpec, NoopSnapshot

from pytest_fargate_sandbox.adapters.openai_agents import (
    FargateSandboxClient,
    FargateSandboxClientOptions,
    FargateSandboxSessionState,
)
from tests.adapters.openai_agents.frozen import frozen
from tests.adapters.openai_agents.noted import NOTE, said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

    Run = Callable[..., Any]
    Alive = Callable[[], set[str]]


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


def test_a_paused_one_that_is_gone_is_made_anew_under_its_name_once_for_all_who_resume_it(
    run: Run, client: FargateSandboxClient, alive: Alive, engine: EngineOfTests
) -> None:
    async def act() -> None:
        options = FargateSandboxClientOptions(pause_on_exit=True, name="gone")
        async with await client.create(options=options, manifest=NOTE) as session:
            await session.exec("echo changed > note")
        (arn,) = alive()
        engine.aws.call("ecs", "StopTask", cluster="local", task=arn)
        await asyncio.to_thread(engine.wait_until_gone, arn)
        first, second = await asyncio.gather(*(client.resume(state_again(client, session)) for _ in range(2)))
        assert len(alive()) == 1
        assert first._inner.sandbox_name == second._inner.sandbox_name == "gone"
        assert first.state.task_arn == second.state.task_arn != arn
        async with first:
            assert await said(first, "cat note") == "as it came\n"
            await first.exec("echo changed > note")
            async with second:
                assert await said(second, "cat note") == "changed\n"
                first.state.pause_on_exit = second.state.pause_on_exit = False
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

"""The same sandbox, awaited: under asyncio and under trio, where a cancelled task ends what it waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from pytest_fargate_sandbox import AsyncSandbox, AsyncWorkspace, ExecFailed
from pytest_fargate_sandbox.async_sandbox import Threads
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox
    from tests.engine_of_tests import EngineOfTests

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])
_PATIENCE = 20.0


@pytest.fixture(scope="module")
def shared(_engine_of_tests: EngineOfTests) -> Any:
    from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig

    cfg = EcsFargateConfig(cluster="local", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
    with EcsFargateSandbox(cfg, task_id="shared", run_id="async") as sandbox:
        sandbox.start()
        yield sandbox


def run(backend: str, act: Callable[[], Awaitable[None]]) -> None:
    anyio.run(act, backend=backend)


def test_a_sandbox_lives_and_is_used_as_the_blocking_one(
    backend: str, engine: EngineOfTests, local_config: Callable[..., EcsFargateConfig], tmp_path: Path
) -> None:
    before = set(engine.alive())

    async def act() -> None:
        async with AsyncSandbox(local_config(), task_id="mine", run_id="async") as sandbox:
            await sandbox.start()
            assert (await sandbox.exec("echo hello")).stdout == "hello\n"
            with pytest.raises(ExecFailed):
                await sandbox.exec("exit 3", check=True)
            await sandbox.write_file("/srv/file", "here")
            await sandbox.download("/srv", tmp_path / "srv")
            start = await sandbox.remember("/srv")
            assert not await sandbox.changes(since=start)
            assert await sandbox.read_file("/srv/file") == b"here"
            assert await sandbox.glob("/srv/*") == ["/srv/file"]
            process = await sandbox.spawn("cat", stdin=b"told")
            assert (await process.wait(_PATIENCE)).stdout == "told"
            assert sandbox.is_running
        assert not sandbox.is_running

    run(backend, act)
    assert (tmp_path / "srv/file").read_text() == "here"
    assert set(engine.alive()) == before


@pytest.mark.needs("pgrep")
def test_many_cancelled_commands_are_gone_when_callers_go_on(
    backend: str, shared: EcsFargateSandbox, pytestconfig: pytest.Config
) -> None:
    count = 100 if pytestconfig.getoption("soak") else 25
    asked: list[float] = []

    async def act() -> None:
        sandbox = AsyncWorkspace.over(shared, threads=count)
        with anyio.move_on_after(_PATIENCE) as scope:
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(sandbox.exec, "sleep 86399 & sleep 86399")
                while int(shared.exec("pgrep -fc '^sleep 86399'").stdout) < 2 * count:
                    await anyio.sleep(0.05)
                asked.append(time.monotonic())
                scope.cancel()
        assert scope.cancelled_caught

    run(backend, act)
    assert shared.exec("pgrep -f '^sleep 86399'").stdout == "", "who waited has gone on, and they run"
    took = time.monotonic() - asked[0]
    assert took < _PATIENCE, f"{took:.2f} s"


@pytest.mark.needs("pgrep")
def test_a_cancelled_spawn_leaves_no_process(backend: str, shared: EcsFargateSandbox) -> None:
    async def act() -> None:
        sandbox = AsyncWorkspace.over(shared)
        for after in (0.0, 0.001, 0.004, 0.01, 0.03):
            with anyio.move_on_after(after) as scope:
                process = await sandbox.spawn("sleep 86398 & sleep 86398")
            if not scope.cancelled_caught:
                await process.kill()
            assert (await sandbox.exec("pgrep -f '^sleep 86398'")).stdout == "", f"{after}: it runs on"
        with anyio.move_on_after(0.1) as scope:
            await sandbox.pty_start("sleep 86398", 0.5)
        assert scope.cancelled_caught
        assert (await sandbox.exec("pgrep -f '^sleep 86398'")).stdout == ""

    run(backend, act)


@pytest.mark.parametrize("passes", [None, 0, 1, 2], ids=lambda passes: f"passes={passes}")
@pytest.mark.parametrize("way", ["scope", "task"])
def test_what_a_thread_has_made_is_its_caller_s_or_undone_once(backend: str, way: str, passes: int | None) -> None:
    """Cancelled while it is made, or when it is there and has been on its way for so many passes of the loop."""
    begun, goes_on = threading.Event(), threading.Event()
    received, undone = [], []

    def make() -> str:
        begun.set()
        goes_on.wait(_PATIENCE)
        return "made"

    def undo(made: str) -> None:
        time.sleep(0.1)
        undone.append(made)

    async def caller() -> None:
        try:
            received.append(await Threads(1).run(make, goes_on.set, undo))
        finally:
            assert received + undone == ["made"], "its caller has gone on"

    async def act() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(caller)
            await anyio.to_thread.run_sync(begun.wait)
            if passes is not None:
                goes_on.set()
                time.sleep(0.05)  # it is made now, and the loop has not heard of it
            for _ in range(passes or 0):
                await anyio.sleep(0)
            if way == "scope" or backend == "trio":
                group.cancel_scope.cancel()
                return
            for _ in range(3):
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                await asyncio.sleep(0)

    run(backend, act)
    assert received + undone == ["made"]


def test_a_cancelled_start_leaves_no_task(
    backend: str, engine: EngineOfTests, local_config: Callable[..., EcsFargateConfig]
) -> None:
    engine.fault(slow_pull=30)
    before = set(engine.alive())

    async def act() -> None:
        async with AsyncSandbox(local_config(), task_id="late", run_id="async") as sandbox:
            with anyio.move_on_after(_PATIENCE) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(sandbox.start)
                    while set(engine.alive()) == before:
                        await anyio.sleep(0.02)
                    began = time.monotonic()
                    group.cancel_scope.cancel()
            assert time.monotonic() - began < 3.0
            assert not scope.cancelled_caught
            assert not sandbox.is_running

    try:
        run(backend, act)
        assert set(engine.alive()) == before
    finally:
        engine.fault(slow_pull=0)


def test_a_cancelled_transfer_changes_nothing(backend: str, shared: EcsFargateSandbox, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 30)
    shared.write_file("/srv/kept", "old")

    async def act() -> None:
        sandbox = AsyncWorkspace.over(shared)
        with anyio.move_on_after(0.2) as scope:
            await sandbox.upload(tmp_path / "large", "/srv/kept")
        assert scope.cancelled_caught
        assert await sandbox.read_file("/srv/kept") == b"old"

    run(backend, act)


def test_no_thread_outlives_the_loop(backend: str, shared: EcsFargateSandbox) -> None:
    async def act() -> None:
        sandbox = AsyncWorkspace.over(shared, threads=3)
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(sandbox.exec, "true")
        assert len(named()) <= 4, "three at once, and one that was there before"

    def named() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "fargate-sandbox-verb"]

    run(backend, act)
    if backend == "asyncio":  # trio keeps idle threads for ten seconds: it calls that a cache
        wait_until(lambda: not named() or None, deadline=_PATIENCE, what="the end of the threads")

"""What the sandboxes of one process of another harness share, tried without one."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from pytest_fargate_sandbox import ConfigError
from pytest_fargate_sandbox.adapters.harness_run import HarnessRun
from pytest_fargate_sandbox.adapters.harness_settings import config_of, settings_of
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine_of_tests import EngineOfTests


@pytest.fixture
def run(engine: EngineOfTests) -> Iterator[HarnessRun]:
    before = set(engine.alive())
    run = HarnessRun()
    yield run
    run.end()
    engine.wait_until_gone(*set(engine.alive()) - before)


def settings(**given: Any) -> Any:
    return settings_of({"cpu": 256, "memory": 512, **given}, source="--option", environ={}, directory=Path("/"))


async def leased(run: HarnessRun, name: str, **given: Any) -> Any:
    said = settings(**given)
    return await run.lease(SandboxSpec(config_of(said)), said, holder=name, name=name)


def test_sandboxes_of_a_process_share_a_ledger_and_an_engine_and_end_one_by_one(run: HarnessRun) -> None:
    async def act() -> None:
        first, second = await leased(run, "first"), await leased(run, "second")
        assert (await first.sandbox.exec("echo hello")).stdout == "hello\n"
        assert first.sandbox.blocking.place.aws.answers_at == second.sandbox.blocking.place.aws.answers_at
        assert {entry.task_arn for entry in run.ledger.entries() if entry.task_arn} == {
            first.sandbox.task_arn,
            second.sandbox.task_arn,
        }
        await first.end()
        assert second.sandbox.is_running
        await second.end()

    anyio.run(act)


def test_what_is_not_ended_ends_with_the_process_and_what_is_kept_does_not(
    run: HarnessRun, engine: EngineOfTests
) -> None:
    async def act() -> tuple[str, str]:
        kept, left = await leased(run, "kept"), await leased(run, "left")
        arns = kept.sandbox.task_arn, left.sandbox.task_arn
        await kept.end(keep=True)
        return arns

    kept, left = anyio.run(act)
    run.end()
    engine.wait_until_gone(left)
    assert kept in engine.alive()
    assert run.ledger.path.exists()
    engine.aws.call("ecs", "StopTask", cluster="local", task=kept)


def test_more_than_may_run_at_once_wait_for_room(run: HarnessRun) -> None:
    at_once: list[int] = []

    async def one(name: str) -> None:
        lease = await leased(run, name, max_tasks=1)
        at_once.append(1)
        assert len(at_once) == 1
        await lease.sandbox.exec("true")
        at_once.pop()
        await lease.end()

    async def act() -> None:
        async with anyio.create_task_group() as group:
            for name in ("one", "two"):
                group.start_soon(one, name)

    anyio.run(act)


def test_who_gives_up_waiting_for_room_leaves_no_task_and_says_nothing_of_its_kind(
    run: HarnessRun, engine: EngineOfTests
) -> None:
    async def act() -> None:
        holder = await leased(run, "holder", max_tasks=1)
        with anyio.move_on_after(0.5) as scope:
            await leased(run, "waiter", max_tasks=1)
        assert scope.cancelled_caught
        await holder.end()
        await (await leased(run, "next", max_tasks=1)).end()

    anyio.run(act)
    assert not [task for task in engine.alive() if "waiter" in str(engine.task(task)["tags"])]


def test_a_start_that_is_given_up_half_way_leaves_no_task(run: HarnessRun, engine: EngineOfTests) -> None:
    before = set(engine.alive())
    engine.fault(slow_pull=3)

    async def act() -> None:
        with anyio.move_on_after(1.0) as scope:
            await leased(run, "given-up", image="host")
        assert scope.cancelled_caught

    try:
        anyio.run(act)
    finally:
        engine.fault(slow_pull=0)
    wait_until(lambda: set(engine.alive()) <= before or None, deadline=30, what="the end of the task")
    assert [entry.is_over for entry in run.ledger.entries() if entry.task_arn] == [True]


async def begun(run: HarnessRun, engine: EngineOfTests) -> asyncio.Task[Any]:
    """A start whose task is launched, and slow."""
    before = set(engine.alive())
    start = asyncio.create_task(leased(run, "begun", image="host"))
    while set(engine.alive()) == before:
        await asyncio.sleep(0.02)
    return start


def wait_for_threads() -> None:
    wait_until(
        lambda: not any(each.name == "fargate-sandbox-verb" for each in threading.enumerate()) or None,
        deadline=20,
        what="the end of the threads",
    )


def test_asyncio_s_second_cancel_does_not_lose_sight_of_a_start(run: HarnessRun, engine: EngineOfTests) -> None:
    before = set(engine.alive())

    async def act() -> None:
        start = await begun(run, engine)
        start.cancel()
        await asyncio.sleep(0)
        start.cancel()  # as a loop that is closed cancels all that a cancelled parent has cancelled
        with pytest.raises(asyncio.CancelledError):
            await start
        assert set(engine.alive()) <= before
        assert [entry.is_over for entry in run.ledger.entries() if entry.task_arn] == [True]

    engine.fault(slow_pull=10)
    try:
        asyncio.run(act())
    finally:
        engine.fault(slow_pull=0)


def test_what_still_starts_at_the_end_of_the_process_leaves_no_task_and_no_ledger(
    run: HarnessRun, engine: EngineOfTests
) -> None:
    before = set(engine.alive())
    engine.fault(slow_pull=10)
    loop = asyncio.new_event_loop()
    try:
        start = loop.run_until_complete(begun(run, engine))
        run.end()  # nobody has cancelled it, nor runs its loop
    finally:
        engine.fault(slow_pull=0)
    assert isinstance(loop.run_until_complete(asyncio.gather(start, return_exceptions=True))[0], Exception)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    wait_for_threads()
    assert set(engine.alive()) <= before
    assert not run.ledger.path.exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sidecar_mode": "telepathy"}, "--option sidecar_mode=telepathy: expected one of "),
        ({"max_tasks": "many"}, "--option max_tasks=many: expected a whole number"),
        ({"cpu": 300}, "cpu='300'"),
        ({"runner": "podman", "cluster": "mine"}, "exclude each other"),
    ],
)
def test_an_option_that_is_wrong_is_told_with_the_harness_s_own_name_of_it(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        settings(**given)


def test_a_mode_without_commands_is_none_for_a_harness() -> None:
    with pytest.raises(ConfigError, match="sidecar_mode=exec, or ecs-exec"):
        config_of(settings(sidecar_mode="agent"))


def test_the_harness_says_more_than_the_environment_and_that_more_than_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest_fargate_sandbox]\nregion = "project"\nmemory = 1024\nttl = 7\nowner = "me"\n'
    )
    below = tmp_path / "below"
    below.mkdir()
    environ = {"FARGATE_TTL": "8", "FARGATE_REGION": "environment"}
    found = settings_of({"region": "harness", "cluster": None}, source="--ek", environ=environ, directory=below)
    config = config_of(found)
    assert (config.region, config.max_task_lifetime_sec, config.owner) == ("harness", 8, "me")
    assert (config.cpu, config.memory, config.cluster) == ("512", "1024", "local")
    assert config.ssh_sidecar is not None
    assert config.ssh_sidecar.exec_server_port


@pytest.mark.parametrize(
    ("adapter", "module", "extra"), [("harbor", "harbor", "harbor"), ("openai_agents", "agents", "openai-agents")]
)
def test_an_adapter_without_its_harness_says_what_brings_it(adapter: str, module: str, extra: str) -> None:
    if find_spec(module):
        return  # in an environment of its own tests
    with pytest.raises(ModuleNotFoundError) as met:
        import_module(f"pytest_fargate_sandbox.adapters.{adapter}")
    assert f"`pip install 'pytest-fargate-sandbox[{extra}]'` brings, on Python 3." in str(met.value)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that others fork so is what it is about
def test_a_forked_child_ends_nothing_of_its_parents(run: HarnessRun) -> None:
    async def act() -> None:
        lease = await leased(run, "parents")
        child = multiprocessing.get_context("fork").Process(target=run.end)  # as at the end of a pool's worker
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert (await lease.sandbox.exec("echo lives")).stdout == "lives\n"
        await lease.end()

    anyio.run(act)


def test_a_second_engine_in_one_process_is_refused(run: HarnessRun) -> None:
    async def act() -> None:
        lease = await leased(run, "first")
        with pytest.raises(ConfigError, match=r"one engine, and this one has it by runner=auto.*runner=podman"):
            await leased(run, "second", runner="podman")
        await lease.end()

    anyio.run(act)

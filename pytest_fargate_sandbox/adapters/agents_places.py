"""Where sessions of the OpenAI Agents SDK get their sandboxes: by name, of this process or kept ones, or new ones."""

from __future__ import annotations

import logging
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from pytest_fargate_sandbox.adapters.agents_options import FargateSandboxSessionState, ttl_seconds
from pytest_fargate_sandbox.adapters.harness_run import harness_run
from pytest_fargate_sandbox.adapters.harness_settings import config_of, settings_of
from pytest_fargate_sandbox.async_sandbox import AsyncSandbox
from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
from pytest_fargate_sandbox.leaves.config import replaced
from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError, StartTimeout, TransportError
from pytest_fargate_sandbox.leaves.file_lock import FileLock, Timeout
from pytest_fargate_sandbox.leaves.lock_holder import Waiting
from pytest_fargate_sandbox.leaves.names import TAG_WORKER
from pytest_fargate_sandbox.leaves.plain_values import nearest_or_all
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.plugin.settings.option_table import OPTIONS
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_task, kept_tasks
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_log = logging.getLogger("pytest_fargate_sandbox.adapters")
_LOCKS = 64
_LOOK_SEC = 0.05

_held: dict[tuple[str, str], Holding] = {}
"""Those that sessions of this process have, by place and name."""


class Holding:
    """A sandbox that one or several sessions have; ``let_go`` of the last one ends it, or lets it live on."""

    def __init__(
        self,
        key: tuple[str, str],
        sandbox: AsyncSandbox,
        end: Callable[[bool], Awaitable[object]],
        *,
        is_filled: bool = False,
    ) -> None:
        self.sandbox = sandbox
        self.is_filled = is_filled
        """Whether a session has made its workspace what it is to be; one does so at a time."""
        self.filling = anyio.Lock()
        self._key, self._end = key, end
        self._sessions, self._keep = 1, False
        _held[key] = self

    def taken_again(self) -> Holding:
        self._sessions += 1
        return self

    async def let_go(self, *, keep: bool) -> None:
        self._sessions -= 1
        self._keep = self._keep or keep
        if self._sessions:
            return
        if _held.get(self._key) is self:
            del _held[self._key]
        await self._end(self._keep)


class Places:
    """``given``: options of the plugin by name, for all sandboxes; what a sandbox's own say counts more."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in OPTIONS:
                raise ConfigError(
                    f"{name}={given[name]!r} is no option of a sandbox's{nearest_or_all(name, list(OPTIONS))}",
                    key=name,
                )
        self._given = given

    async def get_or_make(self, state: FargateSandboxSessionState) -> Holding:
        """That of this name, as it is; else a new one."""
        async with _alone_with(state.sandbox_name):
            return await self._get(state) or await self._make(state)

    async def again(self, state: FargateSandboxSessionState) -> Holding:
        """What a session in this state has left, if it was to live on, unless it is gone; else a new one."""
        return await (self.get_or_make(state) if state.pause_on_exit else self._make(state))

    async def make(self, state: FargateSandboxSessionState) -> Holding:
        """A new one."""
        return await self._make(state)

    async def _get(self, state: FargateSandboxSessionState) -> Holding | None:
        config = self._config(state)
        held = _held.get(_key(config, state))
        if held and held.sandbox.is_running:
            state.task_arn = held.sandbox.task_arn
            return held.taken_again()
        for kept in _kept_as(state, config):
            sandbox = await anyio.to_thread.run_sync(_entered, kept)
            if sandbox:
                state.task_arn = kept.task_arn
                return _attached(_key(config, state), sandbox)
        return None

    async def _make(self, state: FargateSandboxSessionState) -> Holding:
        config = self._config(state)
        lease = await harness_run().lease(
            SandboxSpec(config), self._settings(state), holder=_holder(state), name=state.sandbox_name
        )
        try:
            if state.pause_on_exit:
                await anyio.to_thread.run_sync(lease.sandbox.blocking.let_outlive)
        except BaseException:
            await lease.end()
            raise
        state.task_arn = lease.sandbox.task_arn
        return Holding(_key(config, state), lease.sandbox, lambda keep: lease.end(keep=keep))

    def _config(self, state: FargateSandboxSessionState) -> EcsFargateConfig:
        config = config_of(self._settings(state))
        return replaced(config, tags={**(config.tags or {}), **state.labels}) if state.labels else config

    def _settings(self, state: FargateSandboxSessionState) -> Any:
        own = {name: getattr(state, name) for name in ("image", "cpu", "memory", "region")}
        own["ttl"] = None if state.ttl is None else ttl_seconds(state.ttl)
        said = {name: value for name, value in own.items() if value is not None}
        return settings_of({**self._given, **said}, source="the sandbox option")


def _holder(state: FargateSandboxSessionState) -> str:
    return f"agents:{state.sandbox_name}"


def _key(config: EcsFargateConfig, state: FargateSandboxSessionState) -> tuple[str, str]:
    return f"{config.cluster} {config.region or ''}", state.sandbox_name


def _kept_as(state: FargateSandboxSessionState, config: EcsFargateConfig) -> Iterator[KeptTask]:
    """First the one that the state names, then others of its name at this place."""
    last = kept_task(state.task_arn) if state.task_arn else None
    if last:
        yield last
    for kept in kept_tasks():
        entry = Ledger(kept.run_id).entry_of(kept.task_arn) if kept != last else None
        labels = entry.facts.get("labels") or {} if entry else {}
        is_here = kept.place.get("cluster") == config.cluster
        is_here = is_here and (not config.region or kept.place.get("region") == config.region)
        if is_here and labels.get(TAG_WORKER) == _holder(state):
            yield kept


def _entered(kept: KeptTask) -> EcsFargateSandbox | None:
    """None where it is gone. One that lives and does not answer is an error: a second of its name is one too many."""
    try:
        return EcsFargateSandbox.attach(kept)
    except (AwsError, TransportError, StartTimeout):
        raise
    except SandboxError as error:
        _log.info("the sandbox %s is gone, and made anew: %s", kept.task_id, error)
        kept.forget()
        return None


def _attached(key: tuple[str, str], blocking: EcsFargateSandbox) -> Holding:
    sandbox = AsyncSandbox.of(blocking)

    async def end(keep: bool) -> None:
        if keep:
            await sandbox.detach()
        else:
            await sandbox.stop()

    return Holding(key, sandbox, end, is_filled=True)


@asynccontextmanager
async def _alone_with(name: str) -> AsyncIterator[None]:
    """Nobody else of this user, in any process, gets or makes one of that name meanwhile."""
    path = cache_directory("agents") / f"{zlib.crc32(name.encode()) % _LOCKS}.lock"
    lock, waiting = FileLock(path, thread_local=False), Waiting(path, f"the sandbox {name}")
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            waiting.look()
            await anyio.sleep(_LOOK_SEC)
    try:
        yield
    finally:
        lock.release()

"""What the sandboxes of one harness process share, as the workers of a pytest run do: one engine, one ledger, images by
their content, the rate of launches and the bound on tasks. Whatever ends the process, its tasks end with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import threading
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.async_sandbox import AsyncSandbox, Threads
from pytest_fargate_sandbox.leaves.errors import Cancelled, ConfigError
from pytest_fargate_sandbox.leaves.process_identity import this_process
from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
from pytest_fargate_sandbox.plugin.settings.engine_choice import EngineChoice
from pytest_fargate_sandbox.providers.images.own_builds import builds_stopped
from pytest_fargate_sandbox.records import exit_guard
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.run_report import run_report
from pytest_fargate_sandbox.records.sweeping import sweep_run
from pytest_fargate_sandbox.run.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings
    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

_AT_ONCE = 256
"""So many sandboxes are started or ended side by side; what else is asked for waits its turn."""


def harness_run() -> HarnessRun:
    """That of this process, made when it is first asked for."""
    return _run_of(os.getpid())


@cache
def _run_of(_pid: int) -> HarnessRun:
    return HarnessRun()


class HarnessLease:
    """A started sandbox; ``end`` gives it up, and is to be called."""

    def __init__(self, lease: Lease, threads: Threads) -> None:
        self.blocking = lease
        self.sandbox = AsyncSandbox.of(lease.sandbox)  # type: ignore[arg-type]
        self._threads = threads

    async def end(self, *, keep: bool = False) -> None:
        """Stop the task, also where the caller is being cancelled. ``keep``: let it live until its time is over."""
        await self._threads.finish(lambda: self.blocking.end(may_keep=keep))


class HarnessRun:
    """``lease`` gives a started sandbox. It ends with the process, and so does all that it has made."""

    def __init__(self) -> None:
        # Here we may be in the main thread. At Ctrl-C harnesses end what they have begun, or keep it: that is theirs.
        exit_guard.watch_signals(but=signal.SIGINT)
        self.run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        self.ledger = Ledger(self.run_id)
        self._directory = TemporaryDirectory()
        self._secret = secrets.token_bytes(32)
        self._owner, self._pid = this_process(), os.getpid()
        self._threads = Threads(_AT_ONCE)
        self._engine: tuple[str, Any] | None = None
        # Before Python waits for threads, such as one in which an image is built, and while there may be new ones.
        getattr(threading, "_register_atexit", atexit.register)(self.end)

    async def lease(self, spec: SandboxSpec, settings: Settings, *, holder: str, name: str) -> HarnessLease:
        """A started sandbox. Raises what ``EcsFargateSandbox.start`` raises; cancelled, it leaves no task.

        ``holder``: for whom it is; of all that one has at once the bound on tasks must have room, others queue for it.
        ``name`` becomes a part of the task's id. An image that is being built when the caller is cancelled is built to
        its end, since others may wait for it, and no task is launched of it.
        """
        handed, cancel = _Handed(), threading.Event()
        pool = self._pool(settings, holder, cancel)

        def start() -> None:
            lease = pool.lease(spec, keep="always", test=name, cancel=cancel)
            handed.put(lease)
            if cancel.is_set():
                handed.give_back()
                raise Cancelled("given up by its caller")

        try:
            await self._threads.run(start, cancel.set)
        except BaseException:
            cancel.set()
            await self._threads.finish(handed.give_back)
            raise
        return HarnessLease(handed.take(), self._threads)

    async def build(self, spec: SandboxSpec, settings: Settings) -> None:
        """Have its image built, where it is one that is, before anybody waits for a sandbox of it.

        Raises what the start of one would. Who is cancelled here has begun nothing yet: builds of this process end.
        """
        pool = self._pool(settings, "builds", threading.Event())
        directory = spec.config.environment_dir
        if directory:
            build = partial(pool.image_of, spec.config, directory, force_build=spec.force_build)
            with contextlib.ExitStack() as stack:  # until its thread has seen it, or it would begin anew
                await self._threads.run(build, lambda: stack.enter_context(builds_stopped()))

    def _pool(self, settings: Settings, holder: str, cancel: threading.Event) -> Pool:
        """As each worker of a pytest run has one: what they share is in the directory and the ledger."""
        self._choose_engine(settings)
        return Pool(
            run_id=self.run_id,
            directory=self._directory.path,
            secret=self._secret,
            worker=holder,
            owner=self._owner,
            max_tasks=settings.run["max_tasks"],
            workers=1,
            prelaunch=0,
            sleep=_sleeping(cancel),
        )

    def _choose_engine(self, settings: Settings) -> None:
        chosen = settings.run["runner"], settings.run["engine"]
        if self._engine is None:
            EngineChoice(settings)
            self._engine = chosen
        elif chosen != self._engine:
            before, now = (f"runner={runner}, engine={engine}" for runner, engine in (self._engine, chosen))
            raise ConfigError(f"a process has one engine, and this one has it by {before}: {now} takes another process")

    def end(self) -> None:
        if os.getpid() != self._pid:  # a forked child does not answer for what its parent has made
            return
        with builds_stopped():
            exit_guard.stop_live_tasks()
            is_quiet = self._threads.give_up_all()  # or what still starts would write a ledger anew
            sweep_run(self.run_id)
        if is_quiet and self.ledger.path.exists():
            counts = run_report(self.ledger.entries(), cluster="")["counts"]
            if not any(counts[alive] for alive in ("leaked", "kept", "left")):
                self.ledger.drop()
        self._directory.remove()


class _Handed:
    """A lease on its way from a thread to whoever has asked for it, who may be gone: one of both has it in the end."""

    def __init__(self) -> None:
        self._held: list[Lease] = []

    def put(self, lease: Lease) -> None:
        self._held.append(lease)

    def take(self) -> Lease:
        return self._held.pop()

    def give_back(self) -> None:
        try:
            lease = self.take()
        except IndexError:
            return
        lease.end(may_keep=False)


def _sleeping(cancel: threading.Event) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        if cancel.wait(seconds):
            raise Cancelled("given up by its caller, while it waited for room")

    return sleep

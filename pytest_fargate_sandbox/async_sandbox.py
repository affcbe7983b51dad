"""A sandbox for asyncio and trio: the verbs of ``EcsFargateSandbox``, to be awaited, and cancelled.

    async with AsyncSandbox(config, task_id="mine", run_id="today") as sandbox:
        await sandbox.start()
        result = await sandbox.exec("make test")

Each verb runs in a thread, of so many at once as ``threads`` says, over the same blocking core. A task that is
cancelled ends what it waits for: a command with all that it has started, a start with its task, a transfer with nothing
changed.
It takes anyio, which ``pip install 'pytest-fargate-sandbox[async]'`` brings.
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

try:
    import anyio
    import anyio.to_thread
except ModuleNotFoundError as error:
    told = f"{error}: AsyncSandbox needs what `pip install 'pytest-fargate-sandbox[async]'` brings"
    raise ModuleNotFoundError(told, name=error.name) from None

from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
from pytest_fargate_sandbox.leaves.errors import Cancelled, SandboxError
from pytest_fargate_sandbox.sandbox.exec.leash import CALLERS, Leash
from pytest_fargate_sandbox.sandbox.exec.process import Process
from pytest_fargate_sandbox.sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.terminals.tool_terminals import PtyUpdate

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_LEAVING_SEC = 10.0
"""So long a cancelled task waits for its thread. What takes longer, an image that is being built, ends by itself."""
_LOOK_SEC = 0.03
_SLICE_SEC = 1.0


class _Errand(Generic[R]):
    """An act in a thread. Who asked for it may leave: what it gives is undone then, by the later of the two."""

    def __init__(self, act: Callable[[], R], undo: Callable[[R], object] | None) -> None:
        self._act, self._undo = act, undo
        self._begin, self._part = itertools.count(), itertools.count()
        self._given: list[R] = []

    def run(self) -> R:
        given = self._act()
        self._given.append(given)
        if next(self._part):
            self.undo()
        return given

    def begins(self) -> bool:
        """Whether it is the first that asks: the thread, or else the caller, for whom it will not begin then."""
        return not next(self._begin)

    def is_left_with_a_result(self) -> bool:
        """The caller leaves: whether it is his to have it undone."""
        return bool(next(self._part)) and self._undo is not None

    def undo(self) -> None:
        if self._undo:
            with suppress(SandboxError):  # it ends with its sandbox then
                self._undo(self._given[0])


class Threads:
    """Where blocking verbs run, no more at once than there may be."""

    def __init__(self, most: int) -> None:
        self._limiter = anyio.CapacityLimiter(most)
        self._under_way: dict[threading.Event, Callable[[], None]] = {}

    async def run(
        self, act: Callable[[], R], give_up: Callable[[], None], undo: Callable[[R], object] | None = None
    ) -> R:
        """What ``act`` gives. Where the task is cancelled, ``give_up`` has it come to its end first.

        ``undo`` is called, once and in a thread, with what it gave all the same, before that or after it.
        """
        errand, ended = _Errand(act, undo), threading.Event()

        def named() -> R:
            if not errand.begins():
                raise Cancelled("given up before it began")
            threading.current_thread().name = "fargate-sandbox-verb"
            return self._noted(errand.run, ended, give_up)

        try:
            return await anyio.to_thread.run_sync(named, abandon_on_cancel=True, limiter=self._limiter)
        except anyio.get_cancelled_exc_class():
            if errand.begins():
                raise
            give_up()
            if errand.is_left_with_a_result():
                ended = threading.Event()
                _start(lambda: self._noted(errand.undo, ended, lambda: None))
            deadline = anyio.current_time() + _LEAVING_SEC
            with anyio.CancelScope(shield=True):
                while not ended.is_set() and anyio.current_time() < deadline:
                    with suppress(anyio.get_cancelled_exc_class()):  # asyncio's own come through the shield, and again
                        await anyio.sleep(_LOOK_SEC)
            raise

    def _noted(self, act: Callable[[], R], ended: threading.Event, give_up: Callable[[], None]) -> R:
        self._under_way[ended] = give_up
        try:
            return act()
        finally:
            del self._under_way[ended]
            ended.set()

    async def finish(self, act: Callable[[], object]) -> None:
        """``act`` is done, however often the caller is cancelled meanwhile, who learns it afterwards."""
        begun = threading.Event()
        cancelled: BaseException | None = None

        def marked() -> None:
            begun.set()
            act()

        while not begun.is_set():
            try:
                with anyio.CancelScope(shield=True):
                    await self.run(marked, lambda: None)
            except anyio.get_cancelled_exc_class() as error:  # noqa: PERF203
                cancelled = error
        if cancelled:
            raise cancelled

    def give_up_all(self) -> bool:
        """For the end of the process: whether all that was under way has come to its end, after no long time."""
        under_way = list(self._under_way.items())
        for _, give_up in under_way:
            give_up()
        deadline = time.monotonic() + _LEAVING_SEC
        return all(ended.wait(max(0.0, deadline - time.monotonic())) for ended, _ in under_way)


def _start(act: Callable[[], object]) -> None:
    try:
        threading.Thread(target=act, name="fargate-sandbox-undo", daemon=True).start()
    except RuntimeError:  # no more threads now, and it is to be done
        act()


@contextmanager
def held_by(leash: Leash) -> Iterator[None]:
    token = CALLERS.set(leash)
    try:
        yield
    finally:
        CALLERS.reset(token)


def _awaited(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[_Awaited[Any], P], Awaitable[R]]:
    async def run(self: _Awaited[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        leash = Leash()
        with held_by(leash):
            return await self.threads.run(lambda: verb(self.blocking, *args, **kwargs), leash.give_up)

    functools.update_wrapper(run, verb)
    return run


def _cancellable(verb: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[_Awaited[Any], P], Awaitable[R]]:
    """Of a verb that takes an event by which it is given up."""

    async def run(self: _Awaited[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        cancel = threading.Event()
        act: Callable[[], R] = functools.partial(verb, self.blocking, *args, **kwargs, cancel=cancel)  # type: ignore[arg-type]
        return await self.threads.run(act, cancel.set)

    functools.update_wrapper(run, verb)
    return run


class _Awaited(Generic[S]):
    def __init__(self, blocking: S, threads: Threads) -> None:
        self.blocking = blocking
        """What does the work, for whatever has no verb here."""
        self.threads = threads


class AsyncProcess(_Awaited[Process]):
    """A process that was left running. Cancelling who waits for it leaves it alone; ``kill`` ends it."""

    poll = _awaited(Process.poll)
    read = _awaited(Process.read)
    read_stderr = _awaited(Process.read_stderr)
    write = _awaited(Process.write)
    signal = _awaited(Process.signal)
    kill = _awaited(Process.kill)

    async def wait(self, timeout: float | None = None) -> ExecResult:
        """Its end, with all that it has said; a ``TimeoutError`` if it runs on."""
        end = None if timeout is None else anyio.current_time() + timeout
        while True:
            left = _SLICE_SEC if end is None else min(_SLICE_SEC, max(0.0, end - anyio.current_time()))
            wait = functools.partial(self.blocking.wait, left)
            try:
                return await self.threads.run(wait, lambda: None)
            except TimeoutError:
                if end is not None and anyio.current_time() >= end:
                    raise

    @property
    def id(self) -> str:
        return self.blocking.id

    @property
    def pid(self) -> int:
        return self.blocking.pid


class AsyncWorkspace(_Awaited[Workspace]):
    """The verbs of a sandbox or a slot that exists already: ``AsyncWorkspace.over(slot)``."""

    exec = _cancellable(Workspace.exec)
    upload = _awaited(Workspace.upload)
    download = _awaited(Workspace.download)
    read_file = _awaited(Workspace.read_file)
    write_file = _awaited(Workspace.write_file)
    list_files = _awaited(Workspace.list_files)
    glob = _awaited(Workspace.glob)
    stat = _awaited(Workspace.stat)
    exists = _awaited(Workspace.exists)
    mkdir = _awaited(Workspace.mkdir)
    remove = _awaited(Workspace.remove)
    save = _awaited(Workspace.save)
    load = _awaited(Workspace.load)
    remember = _awaited(Workspace.remember)
    changes = _awaited(Workspace.changes)
    pty_write = _awaited(Workspace.pty_write)
    pty_end = _awaited(Workspace.pty_end)
    pty_end_all = _awaited(Workspace.pty_end_all)

    @classmethod
    def over(cls, workspace: Workspace, *, threads: int = 64) -> AsyncWorkspace:
        return AsyncWorkspace(workspace, Threads(threads))

    async def spawn(self, *args: Any, **options: Any) -> AsyncProcess:
        """Start a command and return a handle on it, as ``Workspace.spawn``; who is cancelled meanwhile leaves none."""
        spawn = functools.partial(self.blocking.spawn, *args, **options)
        return AsyncProcess(await self.threads.run(spawn, lambda: None, undo=Process.kill), self.threads)

    async def pty_start(self, *args: Any, **options: Any) -> PtyUpdate:
        """As ``Workspace.pty_start``; of who is cancelled meanwhile the process ends when its first update is due."""
        start = functools.partial(self.blocking.pty_start, *args, **options)
        return await self.threads.run(start, lambda: None, undo=lambda update: self.blocking.pty_end(update.process_id))


class AsyncSandbox(AsyncWorkspace):
    """Entering it does not start it; leaving it stops it, whatever happens."""

    blocking: EcsFargateSandbox

    def __init__(self, cfg: EcsFargateConfig, *, task_id: str, run_id: str, threads: int = 64, **options: Any) -> None:
        """``options`` are those of ``EcsFargateSandbox``; so many ``threads`` run verbs at once."""
        sandbox = EcsFargateSandbox(cfg, task_id=task_id, run_id=run_id, **options)
        super().__init__(sandbox, Threads(threads))

    @classmethod
    def of(cls, sandbox: EcsFargateSandbox, *, threads: int = 64) -> Self:
        """The verbs of a sandbox that exists already, and may be started."""
        made = cls.__new__(cls)
        _Awaited.__init__(made, sandbox, Threads(threads))
        return made

    start = _cancellable(EcsFargateSandbox.start)
    reconnect_tunnel = _awaited(EcsFargateSandbox.reconnect_tunnel)
    describe_task = _awaited(EcsFargateSandbox.describe_task)
    expose = _awaited(EcsFargateSandbox.expose)
    keep = _awaited(EcsFargateSandbox.keep)
    detach = _awaited(EcsFargateSandbox.detach)
    to_state = _awaited(EcsFargateSandbox.to_state)

    async def stop(self) -> None:
        """End the task, also where the caller is being cancelled."""
        await self.threads.finish(self.blocking.stop)

    @property
    def is_running(self) -> bool:
        return self.blocking.is_running

    @property
    def task_arn(self) -> str | None:
        return self.blocking.task_arn

    def resolve_outside_endpoint(self, url: str) -> str:
        """The URL at which processes in the sandbox reach what ``url`` is on our side."""
        return self.blocking.resolve_outside_endpoint(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

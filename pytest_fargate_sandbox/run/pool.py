"""Where the tests of one process get their sandboxes from, and where they bring them back.

A lease is a started sandbox with its story. Behind it stand what all processes of a run share: the bound on tasks, the
rate of launches, the shelf of prelaunched ones, and the ledger.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
from pytest_fargate_sandbox.leaves import tracing
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, replaced
from pytest_fargate_sandbox.leaves.errors import Cancelled, ImageBuildError, SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all
from pytest_fargate_sandbox.leaves.process_identity import this_process
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.ledger_recorder import LedgerRecorder
from pytest_fargate_sandbox.run.bound import NOTHING, Instead, TaskBound
from pytest_fargate_sandbox.run.kind_notes import KindNotes
from pytest_fargate_sandbox.run.launch_rate import LaunchRate
from pytest_fargate_sandbox.run.reuse import SESSION, SLOTS, Reuse
from pytest_fargate_sandbox.run.run_tasks import RunTasks
from pytest_fargate_sandbox.run.seat import Seat
from pytest_fargate_sandbox.run.shelf import Shelf
from pytest_fargate_sandbox.run.shelf_filler import ShelfFiller
from pytest_fargate_sandbox.run.stock import AUTO, FixedStock, StockBySight
from pytest_fargate_sandbox.run.task_lease import TaskLease
from pytest_fargate_sandbox.sandbox.modes.mode_registry import recognised

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.run.slot_pool import SlotPool
    from pytest_fargate_sandbox.sandbox.task.launched_ahead import LaunchedAhead


class _Lessee(NamedTuple):
    """Who wants a machine: how it is to end, for which test, what it is for if the next run may have it."""

    keep: str
    test: str
    purpose: str | None = None
    instead: Instead = NOTHING
    cancel: threading.Event | None = None


class Pool:
    """``lease`` gives a started sandbox; ``plan`` has some launched ahead of need; ``close`` launches no more."""

    def __init__(
        self,
        *,
        run_id: str,
        directory: Path,
        secret: bytes,
        worker: str,
        owner: Mapping[str, Any],
        max_tasks: int | None,
        workers: int,
        prelaunch: int | str,
        last_run: Any = None,
        reuse: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """``owner``: the ``pid`` and ``pid_began`` of the process that outlives all others of the run.

        ``secret`` is what the keys to each task are derived from, so that every worker can take every task over.
        ``prelaunch``: ``auto``, or how many of each kind to have ahead of need, times the workers; ``last_run``: what
        ``kind_notes.learnt`` said of it. ``reuse``: the name under which machines are left, and were.
        ``sleep`` passes the time while a task waits for room; it may raise ``Cancelled``.
        """
        self._run_id, self._directory, self._secret = run_id, directory, secret
        self._worker, self._owner, self._workers = worker, owner, workers
        self._reuse = Reuse(reuse, run_id) if reuse else None
        self._planned: dict[str, list[int]] = {}
        self._images: dict[tuple[str, str, Path], str] = {}
        state = self._state = SharedState(directory)
        self._ledger, self._rate = Ledger(run_id), LaunchRate(state)
        tasks = self._tasks = RunTasks(self._ledger)
        self._bound = TaskBound(state, max_tasks, worker, tasks, sleep)
        kinds = KindNotes(last_run)
        filler = ShelfFiller(
            state,
            kinds,
            self._bound,
            stock=StockBySight(workers) if prelaunch == AUTO else FixedStock(int(prelaunch) * workers),
            worker=worker,
            launch=self._launch_ahead,
            tasks=tasks,
            new_id=lambda: self._new_id("ahead"),
        )
        self._shelf = Shelf(state, kinds, worker=worker, tasks=tasks, filler=filler if prelaunch else None)

    def plan(self, spec: SandboxSpec, places: Sequence[int]) -> None:
        """The run will need sandboxes like this one, at these places in the order of all that it needs."""
        if spec.slots and self._reuse:  # there may be one, and that is known when it is needed
            return
        if spec.slots:  # as many machines as there is somebody to have their slots at once
            at_once = min(self._workers, len(places))
            places = places[: at_once if spec.outside else math.ceil(at_once / spec.slots)]
        planned = self._planned.setdefault(spec.kind, [])
        planned += places
        self._shelf.plan(spec, sorted(planned))

    def lease(
        self,
        spec: SandboxSpec,
        *,
        keep: str,
        test: str,
        lasting: bool = False,
        cancel: threading.Event | None = None,
    ) -> Lease:
        """A started sandbox or slot, and in it what the spec says. Raises what ``EcsFargateSandbox.start`` raises.

        ``lasting``: it ends with the run, so that it may be left to the next one, or was by the one before. ``cancel``:
        gives up the start of a task of its own, as that of ``EcsFargateSandbox.start`` does.
        """
        entry = f"setup-{secrets.token_hex(8)}"
        self._ledger.tell(entry, "waiting", **this_process(), test=test, worker=self._worker)
        try:
            if spec.slots:
                return self._slots.lease(spec, keep=keep, test=test)
            purpose = SESSION if lasting and _can_be_as_new(spec) else None
            return self._lease(spec, _Lessee(keep, test, purpose, cancel=cancel))
        finally:
            self._ledger.tell(entry, "waited")

    @cached_property
    def _slots(self) -> SlotPool:
        from pytest_fargate_sandbox.run.slot_pool import SlotPool

        return SlotPool(
            self._state,
            self._ledger,
            self._bound,
            self._tasks,
            worker=self._worker,
            owner=self._owner,
            secret=self._secret,
            start=lambda spec, test, instead: self._lease(
                # ways back to us end with this process
                spec,
                _Lessee("never", test, None if spec.outside else SLOTS, instead),
            ),
            reuse=self._reuse,
        )

    def _lease(self, spec: SandboxSpec, lessee: _Lessee) -> TaskLease:
        phases: dict[str, float] = {}
        with _timed(phases, "place"):
            self._check_place(spec.config)
        try:
            with _timed(phases, "image"):
                built = self._built(spec)
        except ImageBuildError as error:
            raise self._shelf.not_built(spec, error, test=lessee.test) from error.__cause__
        left = self._left(built, phases, lessee)
        if left is not None:
            return left
        with _timed(phases, "waited"):
            ahead = self._shelf.claim(spec, test=lessee.test, patience=spec.config.startup_timeout_sec)
        try:
            lease = self._started(built, ahead, phases, lessee)
        except Cancelled:  # which says nothing of its kind
            self._shelf.gave_up(spec)
            raise
        except SandboxError as error:
            told = self._shelf.failed(spec, error, test=lessee.test, was_ahead=ahead is not None)
            if told is error:
                raise
            raise told from None
        except BaseException:
            self._shelf.gave_up(spec)
            raise
        self._shelf.came_up(spec, launch_sec=None if ahead else lease.launch_sec)
        return lease

    def _left(self, spec: SandboxSpec, phases: dict[str, float], lessee: _Lessee) -> TaskLease | None:
        """The machine of an earlier run, if one was left for that, fits, and is as new."""
        reuse, purpose = self._reuse, lessee.purpose
        while reuse and purpose and (kept := reuse.take(purpose, spec)) is not None:
            seat = self._seat(spec, kept.task_id, taken=False)
            sandbox = self._sandbox(spec, kept.task_id, seat, test=lessee.test)
            try:
                with _timed(phases, "waited"):
                    seat.take(lessee.instead)
            except BaseException:
                reuse.put_back(kept)
                raise
            try:
                with _timed(phases, "tunnel"):
                    reuse.move_in(sandbox, kept, purpose, spec)
            except SandboxError as error:
                sandbox.note("not_left", why=str(error))
                sandbox.stop()
                reuse.refuse(kept)
                seat.over()
                continue
            seat.launched(kept.task_arn)
            lease = TaskLease(sandbox, seat, keep=lessee.keep, test=lessee.test, leave=self._leave(spec, purpose))
            return self._furnished(lease, spec, phases)
        return None

    def _leave(self, spec: SandboxSpec, purpose: str | None) -> Callable[[EcsFargateSandbox], None] | None:
        reuse = self._reuse
        return (lambda sandbox: reuse.leave(sandbox, purpose, spec)) if reuse and purpose else None

    def _started(
        self, spec: SandboxSpec, ahead: LaunchedAhead | None, phases: dict[str, float], lessee: _Lessee
    ) -> TaskLease:
        task_id = self._new_id("slots" if spec.slots else lessee.test)
        seat = self._seat(spec, ahead.launched_as if ahead else task_id, taken=ahead is not None)
        sandbox = self._sandbox(spec, task_id, seat, test=lessee.test)
        if ahead:
            sandbox.take_over(ahead)
        with _timed(phases, "waited"):
            seat.take(lessee.instead)
        lease = TaskLease(
            sandbox,
            seat,
            keep=lessee.keep,
            test=lessee.test,
            prelaunched=ahead is not None,
            leave=self._leave(spec, lessee.purpose),
        )
        try:
            with _timed(phases, "place"):
                sandbox.start(outside_endpoints=spec.outside, cancel=lessee.cancel)
                if self._reuse and lessee.purpose and not self._reuse.begin(sandbox, lessee.purpose):
                    lease.leave = None
        except BaseException:
            lease.end(may_keep=False)
            raise
        return self._furnished(lease, spec, phases)

    @staticmethod
    def _furnished(lease: TaskLease, spec: SandboxSpec, phases: dict[str, float]) -> TaskLease:
        try:
            with _timed(phases, "files"):
                spec.put_into(lease.sandbox)
        except BaseException:
            lease.end(may_keep=False)
            raise
        lease.set_up(phases)
        return lease

    def image_of(self, config: EcsFargateConfig, directory: str | Path, *, force_build: bool) -> str:
        """The url of the image of a directory with a Dockerfile, built once if nobody has built it before."""
        from pytest_fargate_sandbox.leaves.call_arguments import local_path
        from pytest_fargate_sandbox.providers.images.image_builder import ImageBuilder

        directory = local_path("directory", directory)
        self._check_place(config)
        target = resolve_place(config)
        context = Path(directory).resolve()
        known = (target.aws.identity_hash, target.cfg.cpu_architecture, context)
        if known not in self._images:
            entry = f"image-{context.name}-{crc32(bytes(context)):08x}"
            self._ledger.tell(entry, "building", directory=str(context), **target.facts)
            try:
                self._images[known] = ImageBuilder.ensure_image_built(
                    cfg=replaced(target.cfg, environment_dir=str(context), image_template=None),
                    environment_name=context.name,
                    force_build=force_build,
                    aws=target.aws,
                    shared_dir=self._directory,
                    on_build=lambda build: self._ledger.tell(entry, "build", build=build),
                )
            finally:
                self._ledger.tell(entry, "built")
        return self._images[known]

    def close(self) -> None:
        self._shelf.close()
        if "_slots" in self.__dict__:
            self._slots.close()
        if self._reuse:
            self._reuse.close()

    def _launch_ahead(self, spec: SandboxSpec, task_id: str) -> str:
        self._check_place(spec.config)
        built = self._built(spec)
        seat = self._seat(built, task_id, taken=True, is_needed=False)
        sandbox = self._sandbox(built, task_id, seat, test="")
        arn = sandbox.launch_ahead(spec.outside)
        sandbox.note("shelved", **self._owner)  # the task is the run's now, and no longer this process's
        return arn

    def _sandbox(self, spec: SandboxSpec, task_id: str, seat: Seat, *, test: str) -> EcsFargateSandbox:
        return EcsFargateSandbox(
            spec.config,
            task_id=task_id,
            run_id=self._run_id,
            labels={TAG_WORKER: self._worker, **({TAG_TEST: test} if test else {})},
            recorder=LedgerRecorder(self._ledger),
            admission=seat,
            secret=self._secret,
            exec_timeout_sec=spec.exec_timeout,
        )

    def _seat(self, spec: SandboxSpec, task_id: str, *, taken: bool, is_needed: bool = True) -> Seat:
        def pace() -> None:
            if resolve_place(spec.config).aws.is_counted:
                self._rate.take()

        patience = spec.config.max_task_lifetime_sec  # no task of the run that takes the room lives longer
        return Seat(
            self._bound, pace, spec.wants, task_id=task_id, taken=taken, patience=patience if is_needed else None
        )

    def _built(self, spec: SandboxSpec) -> SandboxSpec:
        directory = spec.config.environment_dir
        return (
            spec.with_image(self.image_of(spec.config, directory, force_build=spec.force_build)) if directory else spec
        )

    def _check_place(self, config: EcsFargateConfig) -> None:
        """An engine that does not start fails once for the whole run, not once in each worker."""

        def found() -> str | None:
            try:
                return str(resolve_place(config).facts["endpoint_url"])
            except StartError as error:
                if error.transient:
                    return None  # it was killed: the next one need not be
                raise

        if config.cluster == LOCAL_CLUSTER:
            once_for_all(self._directory / "once", "engine", found)

    def _new_id(self, test: str) -> str:
        return f"{name_for(test)}-{secrets.token_hex(4)}"


def name_for(test: str) -> str:
    """What a sandbox is called for its test: by function and parameters, whatever stands in these."""
    function, *parameters = test.partition("[")
    called = "".join([function.rpartition("::")[2], *parameters])
    return "".join(sign if sign.isalnum() else "-" for sign in called)[:40].strip("-").lower()


def _can_be_as_new(spec: SandboxSpec) -> bool:
    """Ways back to us end with this process, and what an image's own command does is never undone."""
    mode = recognised(spec.config)
    return mode is not None and mode.takes_commands and spec.fares_as_its_kind and not spec.outside


@contextlib.contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        # What ``place`` takes is the start itself, whose phases have spans of their own.
        with contextlib.nullcontext() if name == "place" else tracing.span(f"sandbox {name}", fargate__phase=name):
            yield
    finally:
        phases[name] = phases.get(name, 0.0) + time.monotonic() - began

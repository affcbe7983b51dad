"""Where the tests of one process get their sandboxes from, and where they bring them back.

A lease is a started sandbox with its story. Behind it stand what all processes of a run share: the bound on tasks, the
rate of launches, the shelf of prelaunched ones, and the ledger.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, replaced
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.orchestration.bound import TaskBound
from pytest_fargate_sandbox.orchestration.ecs_fargate import EcsFargateSandbox
from pytest_fargate_sandbox.orchestration.lease import Lease
from pytest_fargate_sandbox.orchestration.ledger import Ledger
from pytest_fargate_sandbox.orchestration.once import once
from pytest_fargate_sandbox.orchestration.prelaunch import Shelf
from pytest_fargate_sandbox.orchestration.rate import LaunchRate
from pytest_fargate_sandbox.orchestration.run_tasks import RunTasks
from pytest_fargate_sandbox.orchestration.shared_state import SharedState
from pytest_fargate_sandbox.orchestration.target import Target, resolve_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.orchestration.spec import SandboxSpec

_EXEC_TIMEOUT_SEC = 180.0


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
        ahead: int,
    ) -> None:
        """``owner``: the ``pid`` and ``pid_began`` of the process that outlives all others of the run."""
        self.run_id, self.worker, self.secret = run_id, worker, secret
        self.ledger = Ledger(run_id)
        self._directory = directory
        self._owner = owner
        self._building: set[str] = set()
        self._images: dict[tuple[str, str, Path], str] = {}
        state = SharedState(directory)
        tasks = RunTasks(self.ledger)
        self.rate = LaunchRate(state)
        self.bound = TaskBound(state, max_tasks, worker, tasks)
        self._shelf = Shelf(
            state,
            self.bound,
            ahead=ahead,
            worker=worker,
            launch=self._launch_ahead,
            tasks=tasks,
            new_id=lambda: self._new_id("ahead"),
        )

    def plan(self, spec: SandboxSpec, count: int) -> None:
        """The run will need ``count`` sandboxes like this one."""
        self._shelf.plan(spec, count)

    def lease(self, spec: SandboxSpec, *, keep: str, test: str, shared: bool = False) -> Lease:
        """A started sandbox with the spec's files in it. Raises what ``EcsFargateSandbox.start`` raises."""
        self._check_place(spec.config)
        built = self._built(spec)
        claimed = self._shelf.claim(spec.kind, patience=spec.config.startup_timeout_sec)
        sandbox = PooledSandbox(self, built, claimed[0] if claimed else self._new_id(test), test=test)
        if claimed:
            sandbox.take_over(claimed[1])
        else:
            sandbox.wait_for_room()
        lease = Lease(sandbox, ledger=self.ledger, keep=keep, test=test, shared=shared, prelaunched=bool(claimed))
        try:
            sandbox.start(outside_endpoints=spec.outside)
            for remote, local in spec.files.items():
                sandbox.upload(local, remote)
        except BaseException:
            lease.end(may_keep=False)
            raise
        return lease

    def image_of(self, config: EcsFargateConfig, directory: str | Path, *, force_build: bool) -> str:
        """The url of the image of a directory with a Dockerfile, built once if nobody has built it before."""
        from pytest_fargate_sandbox.providers.images import ImageBuilder

        self._check_place(config)
        target = resolve_target(config)
        context = Path(directory).resolve()
        known = (target.cfg.cluster, target.cfg.cpu_architecture, context)
        if known not in self._images:
            entry = f"image-{context.name}"
            self.ledger.write(entry, "building", directory=str(context))
            try:
                self._images[known] = ImageBuilder.ensure_image_built(
                    cfg=replaced(target.cfg, environment_dir=str(context), image_template=None),
                    environment_name=context.name,
                    force_build=force_build,
                    aws=target.aws,
                    shared_dir=self._directory,
                )
            finally:
                self.ledger.write(entry, "built")
        return self._images[known]

    def build_ahead(self, spec: SandboxSpec) -> None:
        """Begin to build the image of ``spec``, if it has one to be built, beside everything else."""
        directory = spec.config.environment_dir
        if directory and directory not in self._building:
            self._building.add(directory)
            threading.Thread(target=self._build, args=(spec,), name="build-ahead", daemon=True).start()

    def close(self, *, interrupted: bool = False) -> None:
        self._shelf.close()
        if interrupted and self._building:
            from pytest_fargate_sandbox.providers.images import stop_own_builds

            stop_own_builds()

    def _launch_ahead(self, spec: SandboxSpec, task_id: str) -> str:
        self._check_place(spec.config)
        sandbox = PooledSandbox(self, self._built(spec), task_id, test="")
        arn = sandbox.launch_ahead()
        sandbox.hand_over(self._owner)
        return arn

    def _build(self, spec: SandboxSpec) -> None:
        with contextlib.suppress(Exception):  # kept for the run: whoever needs the image will meet it
            self._built(spec)

    def _built(self, spec: SandboxSpec) -> SandboxSpec:
        directory = spec.config.environment_dir
        return (
            spec.with_image(self.image_of(spec.config, directory, force_build=spec.force_build)) if directory else spec
        )

    def _check_place(self, config: EcsFargateConfig) -> None:
        """An engine that does not start fails once for the whole run, not once in each worker."""
        if config.cluster == LOCAL_CLUSTER:
            once(self._directory / "once", "engine", lambda: resolve_target(config).facts["endpoint_url"])

    def _new_id(self, test: str) -> str:
        name = "".join(sign if sign.isalnum() else "-" for sign in test.rpartition("::")[2] or test)
        return f"{name[:40].strip('-').lower()}-{secrets.token_hex(4)}"


class PooledSandbox(EcsFargateSandbox):
    """A sandbox that counts among the tasks of its run, and that another process of the run can take over."""

    def __init__(self, pool: Pool, spec: SandboxSpec, task_id: str, *, test: str) -> None:
        labels = {TAG_WORKER: pool.worker, **({TAG_TEST: test} if test else {})}
        super().__init__(
            spec.config,
            task_id=task_id,
            run_id=pool.run_id,
            labels=labels,
            pace=self._wait_for_turn,
            secret=pool.secret,
        )
        self._pool = pool
        self._spec = spec
        self._row = task_id
        """Under which the task counts: the shelf has made the first one, and a second attempt gets another."""
        self._counts = not test

    def take_over(self, task: Mapping[str, Any]) -> None:
        super().take_over(task)
        self._counts = True

    def hand_over(self, owner: Mapping[str, Any]) -> None:
        """The task is the run's now, and no longer this process's."""
        self._record("shelved", **owner)

    def exec(self, command: str | Sequence[str], timeout_sec: float | None = None, **options: Any) -> ExecResult:
        return super().exec(command, timeout_sec or self._spec.exec_timeout or _EXEC_TIMEOUT_SEC, **options)

    def _open_entry(self, target: Target) -> str:
        """One that was launched ahead goes on in the entry that it has, with this process as its owner."""
        ahead = self._launched_ahead and self._pool.ledger.entry_of(str(self._launched_ahead["taskArn"]))
        if not ahead:
            return super()._open_entry(target)
        self._pool.ledger.own(ahead.id, "claimed", labels={**self.labels})
        return ahead.id

    def wait_for_room(self) -> None:
        """Raises what ``TaskBound.admit`` raises, which is no failure of a launch to be tried again at once."""
        if not self._counts:
            self._pool.bound.admit(self._row, self._spec.kind)
            self._counts = True

    def _wait_for_turn(self) -> None:
        self.wait_for_room()
        self._pool.rate.take()

    def _record(self, event: str, **facts: Any) -> None:
        super()._record(event, **facts, **(self._size if event == "launched" else {}))
        if event == "launched":
            self._pool.bound.launched(self._row, facts["task_arn"])
        elif event == "stopped":
            self.count_no_more()

    @property
    def _size(self) -> dict[str, Any]:
        """What the task costs by."""
        cfg = self.cfg
        spot = cfg.capacity_provider == "FARGATE_SPOT"
        return {"cpu": cfg.cpu, "memory": cfg.memory, "storage_gib": cfg.ephemeral_storage_gib, "spot": spot}

    def count_no_more(self) -> None:
        """The task is on its way out; should another be launched for this sandbox, that one counts anew."""
        if self._counts:
            self._pool.bound.stopping(self._row)
            self._row, self._counts = f"{self.task_id}+{secrets.token_hex(2)}", False

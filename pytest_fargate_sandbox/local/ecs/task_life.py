"""The life of a task from PROVISIONING to STOPPED, in a thread of its own.

Everything else only asks: StopTask, a fault or the engine's end call ``task.request_stop``, and the thread here acts.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.ecs.container_spec import container_spec
from pytest_fargate_sandbox.local.ecs.dependencies import DependencyFailed, may_start, stop_order
from pytest_fargate_sandbox.local.ecs.environment_files import EnvironmentFileMissing
from pytest_fargate_sandbox.local.ecs.health_checks import HealthCheck, watch_health
from pytest_fargate_sandbox.local.ecs.log_streams import LogGroupMissing, LogStream, open_log
from pytest_fargate_sandbox.local.ecs.secret_values import SecretNotResolved
from pytest_fargate_sandbox.local.ecs.turns import wait_for_turn
from pytest_fargate_sandbox.local.ecs.vpc import attach_interface, detach_interface, leads_out
from pytest_fargate_sandbox.local.runners.runner_contract import CannotPull, CannotStart, TaskSpec
from pytest_fargate_sandbox.local.ssm.agent_life import AgentLife

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.call_journal import CallJournal
    from pytest_fargate_sandbox.local.ecs.account_limits import AccountLimits
    from pytest_fargate_sandbox.local.ecs.engine_task import EngineContainer, EngineTask
    from pytest_fargate_sandbox.local.faults import Faults
    from pytest_fargate_sandbox.local.runners.runner_contract import ContainerExit, Runner, RunningTask
    from pytest_fargate_sandbox.local.ssm.session_manager import SessionManager

_OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
_DEFAULT_STOP_TIMEOUT_SEC = 30.0
_NEVER_STARTED = (
    CannotPull, CannotStart, SecretNotResolved, EnvironmentFileMissing, LogGroupMissing, DependencyFailed
)  # fmt: skip
"""Their texts are the reasons that Fargate writes."""


@dataclass(frozen=True)
class EngineParts:
    """What every task's life needs."""

    runner: Runner
    sessions: SessionManager
    faults: Faults
    journal: CallJournal
    gate_port: int
    limits: AccountLimits
    launch_delay: tuple[float, float] = (0.0, 0.0)
    agent_delay: tuple[float, float] = (0.0, 0.0)
    real_health: bool = False


class TaskLife:
    """Drives one task. ``start()`` returns at once."""

    def __init__(self, task: EngineTask, surroundings: EngineParts) -> None:
        self._task = task
        self._around = surroundings
        self._running: RunningTask | None = None
        self._started: dict[str, float] = {}
        self._agents: dict[str, AgentLife] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"task-{self._task.id[:8]}", daemon=True).start()

    def _run(self) -> None:
        task = self._task
        try:
            if self._provision():
                self._launch()
            task.wait_until_ending(None)
        except _NEVER_STARTED as error:
            task.request_stop("TaskFailedToStart", str(error))
        except Exception as error:  # a runner's own fault must end this task, not leave it hanging for ever
            self._around.journal.error("task", f"{task.task_arn}: {error!r}")
            task.request_stop("TaskFailedToStart", f"InternalError: {type(error).__name__}: {error}")
        finally:
            self._end()

    # --- the way up ----------------------------------------------------------------------------------------------

    def _provision(self) -> bool:
        """A network for the task; False when it was stopped before it had one."""
        task, around = self._task, self._around
        if task.wait_until_ending(random.uniform(*around.launch_delay)):
            return False
        if around.faults.take("fail-start"):
            reason = "Timeout waiting for network interface provisioning to complete."
            task.request_stop("TaskFailedToStart", reason)
            return False
        wait_for_turn()
        if task.is_ending:
            return False
        place = task.placement
        images = tuple(container.definition["image"] for container in task.containers)
        size = (int(place.memory), int(place.cpu))
        self._running = around.runner.open_task(
            TaskSpec(task.id, place.volumes, *size, around.gate_port, images, leads_out(place.subnet))
        )
        attach_interface(task, self._running.address, around.faults.value("late-address"))
        task.becomes("PENDING", "connectivityAt", address=self._running.address)
        return True

    def _launch(self) -> None:
        task = self._task
        task.mark("pullStartedAt")
        if task.wait_until_ending(self._around.faults.value("slow-pull")):
            return
        for container in task.containers:
            self._pull(container)
        task.mark("pullStoppedAt")
        if self._start_in_order():
            task.becomes("RUNNING", "startedAt")
            self._arm_faults()

    def _pull(self, container: EngineContainer) -> None:
        try:
            self._around.runner.pull(container.definition["image"])
        except CannotPull as error:
            self._task.container_becomes(container, "PENDING", reason=str(error))
            raise

    def _start_in_order(self) -> bool:
        """Start each container when what it depends on holds; False when the task ends meanwhile."""
        task = self._task
        by_name = {container.name: container for container in task.containers}
        waiting = list(task.containers)
        while waiting:
            with task.changed:
                ready = [container for container in waiting if may_start(container, by_name, self._started)]
                if not ready and not task.is_ending:
                    task.changed.wait(1.0)
            if task.is_ending:
                return False
            for container in ready:
                waiting.remove(container)
                self._start(container)
        return True

    def _start(self, container: EngineContainer) -> None:
        task, running = self._task, self._running
        assert running is not None
        log = open_log(container.definition, task.id)
        spec = container_spec(container.definition)
        self._started[container.name] = time.monotonic()
        # Before the start: a program may end before start() has returned, and that end must come last.
        task.container_becomes(container, "RUNNING")
        try:
            running.start(spec, _discard if log is None else log.write, lambda end: self._ended(container, end, log))
        except (CannotPull, CannotStart) as error:
            task.container_becomes(container, "STOPPED", reason=str(error))
            raise
        if task.placement.execute_command:
            self._agents[container.name] = AgentLife(self._around.sessions, task, container, spec)
            self._agents[container.name].start_later(running, self._around.agent_delay)
        check = HealthCheck.of(container.definition)
        if check is not None:
            threading.Thread(
                target=watch_health,
                args=(task, container, check, running),
                kwargs={"eager": not self._around.real_health},
                name=f"health-{container.name}",
                daemon=True,
            ).start()

    # --- what happens to it --------------------------------------------------------------------------------------

    def _ended(self, container: EngineContainer, end: ContainerExit, log: LogStream | None) -> None:
        if log is not None:
            log.close()
        if container.name in self._agents:
            self._agents[container.name].end()
        reason = _OUT_OF_MEMORY if end.out_of_memory else end.reason
        self._task.container_becomes(container, "STOPPED", exit_code=end.code, reason=reason)
        if container.essential:
            self._task.request_stop("EssentialContainerExited", "Essential container in task exited")

    def _arm_faults(self) -> None:
        for name, strike in (("die-after", self._kill), ("spot-after", self._reclaim)):
            after = self._around.faults.value(name)
            if after:
                timer = threading.Timer(after, strike)
                timer.daemon = True
                timer.start()

    def _kill(self) -> None:
        """An essential container dies, as if something in it had killed it."""
        victim = next((c for c in self._task.containers if c.essential and c.is_running), None)
        if victim is not None and self._running is not None:
            self._running.stop(victim.name, 0)

    def _reclaim(self) -> None:
        self._task.request_stop("SpotInterruption", "Your Spot Task was interrupted.")

    # --- the way down --------------------------------------------------------------------------------------------

    def _end(self) -> None:
        task = self._task
        try:
            self._stop_containers()
            task.becomes("DEPROVISIONING", "executionStoppedAt")
            if self._running is not None:
                self._running.close()
            detach_interface(task)
        except Exception as error:  # it is gone as far as anybody can tell; the log says what the runner met
            self._around.journal.error("task", f"{task.task_arn}: {error!r}")
        for container in task.containers:
            if not container.is_stopped:
                task.container_becomes(container, "STOPPED")
        task.becomes("STOPPED", "stoppedAt")

    def _stop_containers(self) -> None:
        for group in stop_order(self._task.containers):
            threads = [
                threading.Thread(target=self._stop, args=(container,), daemon=True)
                for container in group
                if container.is_running
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _stop(self, container: EngineContainer) -> None:
        assert self._running is not None
        self._running.stop(container.name, container.definition.get("stopTimeout") or _DEFAULT_STOP_TIMEOUT_SEC)
        with self._task.changed:
            # on_exit comes from a thread of the runner's: the exit code must be there before the task is STOPPED.
            self._task.changed.wait_for(lambda: container.is_stopped, 5.0)


def _discard(_output: bytes) -> None:
    pass

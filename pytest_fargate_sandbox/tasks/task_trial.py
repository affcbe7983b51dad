"""One attempt at a task: the agent's sandbox, what is done in it, what crosses over, and the verdict."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS
from pytest_fargate_sandbox.leaves.errors import (
    ExecFailed,
    ExecTimeout,
    NoVerdict,
    SandboxBroken,
    SandboxError,
    TaskFolderError,
    UnknownUser,
)
from pytest_fargate_sandbox.records.costs import task_cost_usd
from pytest_fargate_sandbox.tasks import reward, task_inputs
from pytest_fargate_sandbox.tasks.crossing import Crossing, check_what_crosses
from pytest_fargate_sandbox.tasks.entry_point import beginning_of
from pytest_fargate_sandbox.tasks.image_users import made_as_root, named_users
from pytest_fargate_sandbox.tasks.task_places import TaskPlace, agents_place, is_shared, verifiers_place
from pytest_fargate_sandbox.tasks.task_slot import TaskSlot, claim
from pytest_fargate_sandbox.tasks.trial_log import TrialLog
from pytest_fargate_sandbox.tasks.verifying import Verifying, verifier_digests
from pytest_fargate_sandbox.tasks.whose_fault import agents_own, why_from_inside
from pytest_fargate_sandbox.tasks.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds
    from pytest_fargate_sandbox.tasks.crossing_store import CrossingStore
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import HealthCheck, Step, TaskFolder
    from pytest_fargate_sandbox.tasks.workplace import Actor

_DIRECTORIES = "mkdir -p /logs/agent /logs/verifier /logs/artifacts && chmod 777 /logs/agent /logs/artifacts"


class Trial:
    """``run`` gives the reward; ``log`` has the rest, whatever became of it."""

    def __init__(
        self,
        folder: TaskFolder,
        actor: Actor | None,
        make: Callable[..., Any],
        store: CrossingStore | None = None,
        *,
        in_slot: Callable[[Any], TaskSlot] | None = None,
        bounds: WorkBounds = WORK_BOUNDS,
    ) -> None:
        """``make``: a started sandbox by the marker's keys; who made it stops what is left running.

        Without an actor, somebody else acts between ``begin`` and ``judged``. ``store`` is for what crosses over.
        With ``in_slot`` it is in slots, of which that makes what they are here: for a folder that fits them.
        """
        self.folder = folder
        self.log = TrialLog(in_slots=in_slot is not None)
        self._actor = actor
        self._make = make
        self._in_slot = in_slot
        self._store = store
        self._bounds = bounds
        self._workspace = ""
        self._users: dict[Any, str | None] = {}
        """Of sandboxes: who acts in them where nobody is named, and it is not root."""
        self._running: dict[Any, float] = {}
        """Sandboxes, and since when."""

    def run(self) -> Reward:
        """Raises ``NoVerdict``, ``SandboxBroken``, ``TaskFolderError``, and what a sandbox raises."""
        try:
            return self._run()
        finally:
            self.over()

    def regrade(self, crossed: Mapping[str, Sequence[Mapping[str, Any]]]) -> Reward:
        """Of what crossed over before, by its verifiers as they are now. Raises as ``run`` does."""
        try:
            return self._regrade(crossed)
        finally:
            self.over()

    def _regrade(self, crossed: Mapping[str, Sequence[Mapping[str, Any]]]) -> Reward:
        self.log.hashes |= verifier_digests(self.folder)
        steps = [step for step in self.folder.config.parts if (step.name if step else "") in crossed]
        if not steps or self._store is None:
            raise SandboxError(f"{self.folder.name}: nothing that crossed over was kept")
        rewards = []
        for number, step in enumerate(steps, 1):
            crossing = Crossing.stored(self._store, crossed[step.name if step else ""])
            try:
                rewards.append(self._verify_apart(crossing, step, is_last=number == len(steps)))
            finally:
                crossing.forget()
            if step is not None:
                self.log.rewards[step.name] = rewards[-1].value
        self.log.crossed = {step: [dict(each) for each in entries] for step, entries in crossed.items()}
        return self._overall(rewards)

    def over(self) -> None:
        """Nobody uses its sandboxes any more; whoever made them may want to keep them."""
        for sandbox in list(self._running):
            self._count(sandbox)

    def _run(self) -> Reward:
        sandbox = self.begin()
        steps = self.folder.config.parts
        rewards: list[Reward] = []
        for number, step in enumerate(steps, 1):
            rewards.append(self._step(sandbox, step, is_last=number == len(steps)))
            if step is not None:
                self.log.rewards[step.name] = rewards[-1].value
            if step is not None and _is_gated(step, rewards[-1]):
                self.log.note(f"it ended with step {step.name!r}, whose min_reward was not reached")
                break
        return self._overall(rewards)

    def begin(self) -> Any:
        """The agent's sandbox, as he finds it. Raises ``TaskFolderError``, and what a sandbox raises."""
        place = agents_place(self.folder)
        check_what_crosses(self.folder)
        self.log.hashes |= verifier_digests(self.folder)
        self.log.note(place.told)
        # It is there while each part but the last is verified, or all of them beside the agent.
        sandbox = self._sandbox("agent", place, sum(map(self.folder.seconds, self.folder.config.parts)))
        self._prepare(sandbox, place)
        return sandbox

    # --- the agent's part -------------------------------------------------------------------------------------------

    def _prepare(self, sandbox: Any, place: TaskPlace) -> None:
        with self.log.timed("prepare"), _mistake_of(self.folder, "its environment"):
            self._workspace = _workspace(sandbox, place)
            sandbox.exec(_DIRECTORIES, check=True)
            self._begin_as_the_image(sandbox, place)
            for user in named_users(self.folder):  # or it could not be told who took him away
                sandbox.exec(["true"], user=user)
            if place.files is not None:
                with task_inputs.staged(self.folder, place.files) as staged:
                    sandbox.upload(staged, self._workspace)
            _await_health(sandbox, place.said.healthcheck, self._workspace)

    def _step(self, sandbox: Any, step: Step | None, *, is_last: bool) -> Reward:
        there = self.workplace(sandbox, step)
        if step is not None:
            self._prepare_step(there, step)
        with self.log.timed("agent"), agents_own(sandbox, "while it was at work"):
            if self._actor is not None:
                self._actor.act(there)
        return self.judged(sandbox, step, is_last=is_last)

    def judged(self, sandbox: Any, step: Step | None = None, *, is_last: bool = True) -> Reward:
        """The agent is done with it. Raises as ``run`` does."""
        self._collect(self.workplace(sandbox, step))
        shared = is_shared(self.folder, step)
        self.log.shared |= shared
        if shared:
            with self.log.timed("verify"):
                return self._verify_beside_the_agent(sandbox, step)
        crossing = Crossing(self._store, self._bounds)
        try:
            with self.log.timed("cross"), agents_own(sandbox, "while artifacts were taken"):
                crossing.take(sandbox, self.folder, step, self._workspace)
            self.log.artifacts += [each.source for each in crossing.all]
            if self._store is not None:
                self.log.crossed[step.name if step else ""] = crossing.entries()
            self.log.hashes[f"{step.name}/artifacts" if step else "artifacts"] = crossing.sha256
            if is_last:
                self._stop(sandbox)
            return self._verify_apart(crossing, step, is_last=is_last)
        finally:
            crossing.forget()

    def _prepare_step(self, there: Workplace, step: Step) -> None:
        files = self.folder.path / "steps" / step.name / "workdir"
        with self.log.timed("prepare"), agents_own(there.sandbox, f"before step {step.name!r}"):
            if files.is_dir():
                with task_inputs.staged(self.folder, files) as staged:
                    there.sandbox.upload(staged, self._workspace)
            with _mistake_of(self.folder, f"step {step.name!r}", was_his=there.was_his):
                if (files / "setup.sh").is_file():
                    there.sandbox.exec(["bash", "setup.sh"], cwd=self._workspace, user=there.user, check=True)
                _await_health(there.sandbox, step.healthcheck, self._workspace)

    def _collect(self, there: Workplace) -> None:
        hooks = [*self.folder.config.verifier.collect, *(there.step.verifier.collect if there.step else ())]
        with self.log.timed("collect"), agents_own(there.sandbox, "while artifacts were collected"):
            for hook in hooks:
                user = there.images_user if hook.user is None else str(hook.user)
                done = there.sandbox.exec(hook.command, timeout_sec=hook.timeout_sec, cwd=self._workspace, user=user)
                if not done.ok:
                    self.log.note(f"collect: {hook.command} returned {done.return_code}")

    # --- the verifier's part ----------------------------------------------------------------------------------------

    def _verify_beside_the_agent(self, sandbox: Any, step: Step | None) -> Reward:
        """What goes wrong there may be of the agent's making, so it counts as his."""
        verifying = Verifying(self.folder, step, self.log, shared=True, images_user=self._users[sandbox])
        try:
            with agents_own(sandbox, "while it was verified"):
                return verifying.run(sandbox, self._workspace)
        except (NoVerdict, ExecFailed, ExecTimeout) as error:
            raise SandboxBroken(
                f"no verdict, and it counts as the agent's failure: he had been where his verifier ran "
                f"(environment_mode = 'shared'): {error}"
            ) from None

    def _verify_apart(self, crossing: Crossing, step: Step | None, *, is_last: bool) -> Reward:
        place = verifiers_place(self.folder, step)
        sandbox = self._sandbox("verifier", place, self.folder.verifier_sec(step))
        try:
            with self.log.timed("verify"):
                workspace, user = _workspace(sandbox, place), self._users[sandbox]
                self._begin_as_the_image(sandbox, place)
                crossing.give(sandbox)
                verifying = Verifying(self.folder, step, self.log, has_tests=place.has_tests, images_user=user)
                return verifying.run(sandbox, workspace)
        except (ExecFailed, ExecTimeout) as error:
            raise NoVerdict(f"the verifier's sandbox could not be prepared: {error}") from None
        except SandboxError as error:  # what it verifies may run there, and break it
            why = why_from_inside(sandbox, error)
            if why is None:
                raise
            raise NoVerdict(f"the verifier's sandbox did not last: {why}", log=self.log.output) from error
        finally:
            if not is_last:
                self._stop(sandbox)

    # --- both -------------------------------------------------------------------------------------------------------

    def _sandbox(self, role: str, place: TaskPlace, seconds: float) -> Any:
        with self.log.timed(f"start {role}"):
            keys = place.keys(seconds)
            if self._in_slot:
                sandbox, user = self._in_slot(self._make(slot=role, **keys)), None
            else:
                sandbox, user = made_as_root(self._made, keys, self._stop)
        self._users[sandbox] = user
        self.log.images[role] = sandbox.image
        self._running.setdefault(sandbox, time.monotonic())
        return sandbox

    def _made(self, **keys: Any) -> Any:
        sandbox = self._make(**keys)
        self._running[sandbox] = time.monotonic()
        return sandbox

    def _begin_as_the_image(self, sandbox: Any, place: TaskPlace) -> None:
        command = beginning_of(place.context)
        if command:
            self.log.note(sandbox.exec(command, user=self._users[sandbox], check=True).stdout.strip())

    def _stop(self, sandbox: Any) -> None:
        self._count(sandbox)
        sandbox.stop()

    def _count(self, sandbox: Any) -> None:
        seconds = time.monotonic() - self._running.pop(sandbox)
        size = sandbox.cfg
        cost = task_cost_usd(
            cpu=int(size.cpu), memory=int(size.memory), seconds=seconds, storage_gib=size.ephemeral_storage_gib
        )
        self.log.cost_usd = round(self.log.cost_usd + cost, 6)

    def workplace(self, sandbox: Any, step: Step | None) -> Workplace:
        user = self._users.get(sandbox)
        return Workplace(sandbox, self.folder, step, self._workspace, self.log, self._bounds, user)

    def _overall(self, rewards: Sequence[Reward]) -> Reward:
        if not self.folder.config.steps or self.folder.config.multi_step_reward_strategy == "final":
            return rewards[-1]
        keys = dict.fromkeys(key for each in rewards for key in each.parts)
        return reward.of({key: sum(each.parts.get(key, 0.0) for each in rewards) / len(rewards) for key in keys})


def _is_gated(step: Step, found: Reward) -> bool:
    least = step.min_reward
    if least is None:
        return False
    wanted = least if isinstance(least, dict) else {reward.KEY: least}
    return any(found.parts.get(key, float("-inf")) < value for key, value in wanted.items())


def _workspace(sandbox: Any, place: TaskPlace) -> str:
    """Where commands begin: the image's, or what the task says, which is made where it is not there."""
    if place.said.workdir:
        claim(sandbox, place.said.workdir)
        return place.said.workdir
    found = str(sandbox.exec(["pwd"], check=True).stdout).strip() or "/"
    if isinstance(sandbox, TaskSlot):
        claim(sandbox, found)
    return found


def _await_health(sandbox: Any, check: HealthCheck | None, workspace: str) -> None:
    if check is None:
        return
    began, failures = time.monotonic(), 0
    while True:
        result = sandbox.exec(check.command, timeout_sec=check.timeout_sec, cwd=workspace)
        if result.ok:
            return
        starts = time.monotonic() - began < check.start_period_sec
        failures += not starts
        if failures >= max(1, check.retries):
            result.check()
        time.sleep(check.start_interval_sec if starts else check.interval_sec)


@contextmanager
def _mistake_of(folder: TaskFolder, what: str, *, was_his: bool = False) -> Iterator[None]:
    """A block in which a command that fails is a mistake in the task's folder, unless the place ``was_his`` before."""
    try:
        yield
    except (ExecFailed, ExecTimeout, UnknownUser) as error:
        if was_his:
            raise SandboxBroken(f"{what} does not come up in what the agent has made of its sandbox: {error}") from None
        raise TaskFolderError(f"{folder.name}: {what} does not come up: {error}", path=str(folder.file)) from None

"""Who does a task, or does not, and where he does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fargate_sandbox.leaves.errors import RemotePermissionError, TaskFolderError
from pytest_fargate_sandbox.tasks.task_slot import who_acts
from pytest_fargate_sandbox.tasks.trial_log import MOST_OUTPUT, Tail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds
    from pytest_fargate_sandbox.tasks.task_folder import Step, TaskFolder
    from pytest_fargate_sandbox.tasks.trial_log import TrialLog


class Actor(Protocol):
    """Who does the task, or does not."""

    @property
    def name(self) -> str: ...

    def act(self, there: Workplace) -> None:
        """In the agent's sandbox. Raises what a sandbox raises; what an agent does wrong is no error."""


@dataclass(frozen=True)
class Workplace:
    """Where an actor acts."""

    sandbox: Any
    folder: TaskFolder
    step: Step | None
    workspace: str
    log: TrialLog
    bounds: WorkBounds
    images_user: str | None
    """Who that is, if not root."""

    @property
    def was_his(self) -> bool:
        """Whether he has been at work there before."""
        return self.step not in (None, *self.folder.config.steps[:1])

    @property
    def timeout_sec(self) -> float:
        return self.folder.agent_sec(self.step)

    @property
    def user(self) -> str | None:
        own = self.step.agent.user if self.step else None
        return who_acts(self.sandbox, self.folder.config.agent.user if own is None else own) or self.images_user

    def bring(self, local: Any, remote: str) -> None:
        """What he does not bring himself. Where nothing of his has run yet, it is not his doing that it cannot be."""
        try:
            self.sandbox.upload(local, remote)
        except RemotePermissionError as error:
            if self.was_his:
                raise
            raise TaskFolderError(
                f"{self.folder.name}: its image's user may not write {error.path or remote}: have the image begin as "
                "root, and name its user under [agent] and [verifier]",
                path=str(self.folder.file),
            ) from None

    def run(self, command: str | Sequence[str], env: Mapping[str, str] | None = None, *, named: str = "") -> int:
        """As the agent, in his time. Its output's end is noted where it fails, of what may be ``named`` there."""
        tail = Tail(2000)
        result = self.sandbox.exec(
            command,
            timeout_sec=self.timeout_sec,
            cwd=self.workspace,
            env=env,
            user=self.user,
            on_output=tail,
            max_output_bytes=MOST_OUTPUT,
        )
        if result.timed_out:
            self.log.note(f"the agent ran out of time after {self.timeout_sec:g} s")
        if result.of_memory:
            self.log.note(f"{named or command}: {result.of_memory}")
        if result.return_code and not result.timed_out:
            self.log.note(f"{named or command} returned {result.return_code}: {str(tail).strip()}")
        return int(result.return_code)

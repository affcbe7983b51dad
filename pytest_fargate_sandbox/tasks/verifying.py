"""A verifier at work: tests uploaded, run, and their reward read, by our own channel and by nobody else's word."""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import NoVerdict, RemoteFileError, RemoteFileNotFound
from pytest_fargate_sandbox.tasks import pytest_output, reward, task_inputs
from pytest_fargate_sandbox.tasks.task_places import verifiers_place
from pytest_fargate_sandbox.tasks.task_slot import TaskSlot, who_acts
from pytest_fargate_sandbox.tasks.trial_log import MOST_OUTPUT, Tail

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import Step, TaskFolder
    from pytest_fargate_sandbox.tasks.task_inputs import Inputs
from pytest_fargate_sandbox.tasks.trial_log import TrialLog

TESTS = "/tests"
LOGS = "/logs/verifier"
REWARD_JSON, REWARD_TEXT = f"{LOGS}/reward.json", f"{LOGS}/reward.txt"


class Verifying:
    """Of one step of a task, or of the whole, in one sandbox."""

    def __init__(
        self,
        folder: TaskFolder,
        step: Step | None,
        log: TrialLog,
        *,
        images_user: str | None,
        shared: bool = False,
        has_tests: bool = False,
    ) -> None:
        """``has_tests``: they are a part of the image, of which ``images_user`` is the user, if not root."""
        self._folder = folder
        self._step = step
        self._log = log
        self._shared = shared
        self._has_tests = has_tests
        self._images_user = images_user

    def run(self, sandbox: Any, workspace: str) -> Reward:
        """Raises ``NoVerdict``, and what a sandbox raises."""
        script = self._bring_tests(sandbox)
        result, output = self._run_tests(sandbox, script, workspace), self._log.output
        if result.timed_out:
            seconds = self._folder.verifier_sec(self._step)
            raise NoVerdict(f"the verifier ran out of time after {seconds:g} s", log=output)
        return self._reward(sandbox, result, output)

    def _bring_tests(self, sandbox: Any) -> str:
        """The path of the script, with no trace of earlier tests, unless others are in the same sandbox."""
        stale = [REWARD_JSON, REWARD_TEXT]
        if not (self._has_tests or self._shared):
            stale.append(TESTS)
        logs = f"mkdir -p {LOGS} && {self._rights_in_logs(sandbox)} {LOGS}"
        sandbox.exec(f"{logs} && rm -rf -- {' '.join(stale)}", check=True, cwd="/")
        script = f"{TESTS}/test.sh"
        if not self._has_tests:
            inputs = task_inputs.tests_of(self._folder, self._step)
            self._upload(sandbox, inputs)
            script = f"{TESTS}/{inputs.script_name}"
        sandbox.exec(["chmod", "+x", script], check=True)
        return script

    def _rights_in_logs(self, sandbox: Any) -> str:
        """Where it can be only who runs the tests leaves a reward, and not whom they run what is the agent's as."""
        if isinstance(sandbox, TaskSlot):  # they are the same user
            return "chmod 777"
        owner = shlex.quote(str(self._acting(sandbox) or "0"))
        return f"chown {owner} {LOGS} && chmod 755"

    def _acting(self, sandbox: Any) -> str | None:
        return who_acts(sandbox, self._user) or self._images_user

    def _upload(self, sandbox: Any, inputs: Inputs) -> None:
        beside = [] if any(inputs.script.parent == each for each in inputs.directories) else [inputs.script]
        for directory in inputs.directories or (inputs.script.parent / "tests",):
            with task_inputs.staged(self._folder, directory, *beside) as staged:
                sandbox.upload(staged, TESTS)

    def _run_tests(self, sandbox: Any, script: str, workspace: str) -> ExecResult:
        """What it said is in the log, also where its sandbox dies under it."""
        tail = Tail()
        try:
            result: ExecResult = sandbox.exec(
                f"bash {script}" if self._folder.is_terminal_bench else script,
                timeout_sec=self._folder.verifier_sec(self._step),
                cwd=workspace,
                env=task_inputs.resolved(self._env, "verifier.env"),
                user=self._acting(sandbox),
                on_output=tail,
                max_output_bytes=MOST_OUTPUT,
            )
        finally:
            self._log.output = str(tail)
        return result

    def _reward(self, sandbox: Any, result: ExecResult, output: str) -> Reward:
        try:
            if self._folder.is_terminal_bench:
                return pytest_output.reward_in(output)
            return reward.from_files(_read(sandbox, REWARD_JSON), _read(sandbox, REWARD_TEXT))
        except reward.NotAReward as error:
            raise NoVerdict(
                f"{error} (it returned {result.return_code}{result.of_memory and f', {result.of_memory}'})", log=output
            ) from None

    @property
    def _env(self) -> dict[str, str]:
        return {**self._folder.config.verifier.env, **(self._step.verifier.env if self._step else {})}

    @property
    def _user(self) -> str | int | None:
        own = self._step.verifier.user if self._step else None
        return self._folder.config.verifier.user if own is None else own


def verifier_digests(folder: TaskFolder) -> dict[str, str]:
    """What its verifiers are made of: their tests, and the images that they run in. Raises ``TaskFolderError``."""
    digests = {}
    for step in folder.config.parts:
        place = verifiers_place(folder, step)
        named = f"{step.name}/" if step else ""
        image = task_inputs.digest_of(place.context) if place.context else str(place.image)
        digests[f"{named}environment"] = hashlib.sha256(image.encode()).hexdigest()
        if not place.has_tests:
            inputs = task_inputs.tests_of(folder, step)
            digests[f"{named}tests"] = task_inputs.digest_of(*inputs.directories, inputs.script)
    return digests


def _read(sandbox: Any, path: str) -> bytes | None:
    """No more of it than a reward can have: it may be a device, or grow for ever."""
    try:
        content: bytes = sandbox.artifacts.read(path, bytes, max_bytes=reward.MOST_BYTES + 1).content
    except RemoteFileNotFound:
        return None
    except RemoteFileError as error:
        raise reward.NotAReward(f"{path} cannot be read: {error}") from None
    return content

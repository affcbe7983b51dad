"""An attempt at a task as data: what its report carries from worker to controller."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import NoVerdict, SandboxBroken, SandboxError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_trial import Trial

_LINES = 40
_LINE = 200


class Attempt:
    """Of the current attempt of a test."""

    def __init__(self, trial: Trial, named: Mapping[str, Any]) -> None:
        self._trial = trial
        self._kept: dict[str, Any] = {}
        self.record: dict[str, Any] = {
            **named,
            "verdict": "error",
            "reward": None,
            "trouble": None,
            "began": round(time.time(), 3),
        }

    @contextmanager
    def judged(self, *, breaking_is_failing: bool) -> Iterator[None]:
        """A block whose errors are verdicts, or say why there is none.

        ``breaking_is_failing``: whether who breaks his sandbox was to do something else.
        """
        try:
            yield
        except SandboxBroken as error:
            self._troubled("fail", error)
            self.record["reward"] = 0.0
            if breaking_is_failing:
                pytest.fail(self.story(str(error)), pytrace=False)
        except NoVerdict as error:
            self._troubled("none", error)
            raise
        except SandboxError as error:
            self._troubled("error", error)
            raise

    def graded(self, reward: Reward) -> None:
        self.record |= {
            "verdict": "pass" if reward.is_full else "fail",
            "reward": reward.value,
            "parts": dict(reward.parts),
            "said": next(iter(self._trial.log.output.strip().splitlines()[-1:]), "")[:_LINE],
        }

    def stays(self, before: Mapping[str, Any], digests: Mapping[str, str]) -> bool:
        """Whether these are the digests of its verifiers ``before``: then its verdict is the same, too."""
        if any(before["hashes"].get(name) != digest for name, digest in digests.items()):
            return False
        kept = ("verdict", "reward", "parts", "trouble", "crossed", "hashes", "shared")
        self._kept = {name: before[name] for name in kept if name in before}
        self.record |= {"verdict": before["verdict"], "trouble": before["trouble"]}
        return True

    @property
    def has_ended(self) -> bool:
        """With a reward or with trouble: a test that drives an agent need not have him graded."""
        return self.record["verdict"] != "error" or self.record["trouble"] is not None

    def gave_up(self, call: pytest.CallInfo[None]) -> None:
        """The test failed, for a reason of its own if there is none here."""
        if not self.has_ended and call.excinfo:
            message = str(call.excinfo.value).partition("\n")[0]
            self.record["trouble"] = {"kind": call.excinfo.typename, "message": message}

    def story(self, problem: str, advice: str = "") -> str:
        """What somebody needs to see who has to find out why; ``advice`` is for where too little crossed over."""
        log = self._trial.log
        lines = [problem, *log.notes]
        if not log.shared and log.artifacts:
            lines.append(
                f"the verifier had a sandbox of its own, with no more of the agent's than {', '.join(log.artifacts)}"
                f"{advice}"
            )
        if log.output.strip():
            lines += ["--- verifier (end) ---", *log.output.rstrip().splitlines()[-_LINES:]]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        record = {**self.record, "ended": round(time.time(), 3), **self._trial.log.to_dict(), **self._kept}
        told = json.dumps([record[key] for key in ("verdict", "reward", "images", "hashes")], sort_keys=True)
        record["hashes"] = {**record["hashes"], "verdict": hashlib.sha256(told.encode()).hexdigest()}
        return record

    def _troubled(self, verdict: str, error: SandboxError) -> None:
        self.record["verdict"] = verdict
        self.record["trouble"] = {"kind": type(error).__name__, "message": error.message.partition("\n")[0]}


ATTEMPT: pytest.StashKey[Attempt] = pytest.StashKey()
"""Of the current attempt."""

NAMED: pytest.StashKey[Mapping[str, Any]] = pytest.StashKey()
"""What a test of a task is an attempt of: ``task`` and its ``folder``, from pytest's root, ``agent`` and ``try``."""


class TaskReports:
    """Puts it on the reports; one for each process that runs tests."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if ATTEMPT in item.stash:  # of an attempt before
            del item.stash[ATTEMPT]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        attempt = item.stash.get(ATTEMPT, None)
        if attempt is not None and call.when == "call":
            if report.failed:
                attempt.gave_up(call)
            if attempt.has_ended:
                report.fargate_attempt = attempt.to_dict()  # type: ignore[attr-defined]
        elif NAMED in item.stash and call.when == "setup" and not report.passed:
            report.fargate_attempt = _never_begun(item, call, report)  # type: ignore[attr-defined]
        return report


def _never_begun(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> dict[str, Any]:
    error = call.excinfo.value if call.excinfo else None
    told = {"kind": type(error).__name__, "message": str(error).partition("\n")[0]}
    verdict = "skipped" if report.skipped else "error"
    named: Mapping[str, Any] = item.stash[NAMED]
    return {**named, "verdict": verdict, "reward": None, "trouble": told}

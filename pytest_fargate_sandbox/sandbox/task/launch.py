"""RunTask, as often as it takes.

Each attempt has a ``clientToken`` of its own. Only when an answer was lost is the same token sent again: ECS then gives
the task that it may have made the first time, instead of a second one:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError, StartTimeout
from pytest_fargate_sandbox.leaves.fargate_rules import OVERRIDES_CHARACTERS, STARTED_BY_CHARACTERS
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.task.addresses import through_sessions
from pytest_fargate_sandbox.sandbox.task.causes import judge_reason
from pytest_fargate_sandbox.sandbox.task.stopping import ask_to_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_STARTED_BY_PREFIX = "fargate-sandbox/"
_LONGEST_PAUSE_SEC = 20.0
_UNREACHABLE_ATTEMPTS = 3
_WORTH_TELLING_SEC = 2.0
_TAGS = 50

_log = logging.getLogger("pytest_fargate_sandbox.task")


@dataclass
class Attempts:
    """How many launches are left to a sandbox, over all the ways in which one may fail."""

    left: int

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def run_request(
    cfg: EcsFargateConfig,
    *,
    task_definition: str,
    overrides: Mapping[str, Mapping[str, str]],
    commands: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, str],
    owner: str,
) -> dict[str, Any]:
    """The parameters of RunTask, but for its token. ``overrides`` is the environment of each container, and
    ``commands`` what it runs if not what its definition says."""
    request: dict[str, Any] = {
        "cluster": cfg.cluster,
        "taskDefinition": task_definition,
        "count": 1,
        "networkConfiguration": {"awsvpcConfiguration": _network(cfg)},
        "overrides": _overrides(overrides, commands or {}),
        "tags": _tags({**(cfg.tags or {}), **tags}),
        "startedBy": started_by(owner),
    }
    if cfg.capacity_provider:
        request["capacityProviderStrategy"] = [{"capacityProvider": cfg.capacity_provider, "weight": 1}]
    else:  # ECS refuses both together: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
        request["launchType"] = "FARGATE"
    if cfg.platform_version:
        request["platformVersion"] = cfg.platform_version
    if through_sessions(cfg):
        request["enableExecuteCommand"] = True
    return request


def started_by(owner: str) -> str:
    """Constant for an owner: ListTasks matches it exactly, and together with no other filter."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    return (_STARTED_BY_PREFIX + re.sub(r"[^A-Za-z0-9/_-]", "-", owner))[:STARTED_BY_CHARACTERS]


def run_task(
    aws: Aws,
    request: dict[str, Any],
    attempts: Attempts,
    *,
    patience_sec: float,
    before_each: Callable[[str], None] = lambda _token: None,
    after_refusal: Callable[[StartError], None] = lambda _failure: None,
    may_wait: Callable[[StartError], bool] = lambda _failure: False,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Launch one task and return it as ECS describes it. ``before_each`` is told the token of each attempt;
    where ``may_wait`` says so, it will wait until what was refused for good is not.

    Raises ``StartError``, which tells whether more attempts could have helped; after ``patience_sec`` it makes none.
    """
    token, unreachable = secrets.token_hex(16), 0
    patience = _LaunchPatience(patience_sec, clock)
    while True:
        before_each(token)
        refusal: AwsError | None = None
        try:
            answer = _run_or_abandon(aws, request, token)
        except AwsError as error:
            refusal, failure, same_again = error, _refused(error), error.lost_answer
            unreachable += error.unreachable
        else:
            if answer.get("tasks"):
                task: dict[str, Any] = answer["tasks"][0]
                return task
            failure, same_again = _not_placed(answer), False
        if not failure.transient and may_wait(failure):
            after_refusal(failure)
            token, patience = secrets.token_hex(16), _LaunchPatience(patience_sec, clock)
            continue
        vain = unreachable >= _UNREACHABLE_ATTEMPTS or failure.cause == Cause.ENGINE_LOST
        if not failure.transient or vain or not attempts.take():
            raise failure from refusal
        if not patience.may_pass(failure):
            raise _for_good(failure) from refusal
        pause = patience.next_pause(failure)
        if pause is None:
            attempts.left = 0
            raise patience.used_up(failure) from refusal
        after_refusal(failure)
        if not same_again:
            token = secrets.token_hex(16)
        sleep(pause)


class _LaunchPatience:
    """How long one launch may be refused."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._began = clock()
        self._refusals = 0
        self._rests = pauses(0.2, _LONGEST_PAUSE_SEC)

    def may_pass(self, failure: StartError) -> bool:
        """Whether what keeps it from being launched would not have passed by now."""
        return self._clock() - self._began < judge_reason(failure.reason).passes_in

    def next_pause(self, failure: StartError) -> float | None:
        """Before the next attempt; None when there is no time for one."""
        self._refusals += 1
        pause = min(next(self._rests), judge_reason(failure.reason).passes_in / 4)
        left = self._began + self._seconds - self._clock()
        if pause >= left:
            return None
        if pause >= _WORTH_TELLING_SEC:  # what has passed before anybody could read of it is no news
            _log.warning(
                "RunTask was refused %d times, and is tried again for %.0f s: %s", self._refusals, left, failure.reason
            )
        return pause

    def used_up(self, failure: StartError) -> StartTimeout:
        asked = f"ECS was asked {self._refusals} times" if self._refusals > 1 else "ECS was asked once"
        return StartTimeout(
            f"{asked} in {self._seconds:.0f} s (`startup_timeout_sec`) and launched nothing; the last time: {failure}",
            phase="launch",
            cause=failure.cause,
            reason=failure.reason,
            transient=True,
        )


def _run_or_abandon(aws: Aws, request: dict[str, Any], token: str) -> dict[str, Any]:
    try:
        return aws.call_once("ecs", "RunTask", clientToken=token, **request)
    except Exception:
        raise
    except BaseException:  # Ctrl-C in the middle of the call: there may be a task, and nobody knows its name
        _abandon(aws, request, token)
        raise


def _abandon(aws: Aws, request: dict[str, Any], token: str) -> None:
    """With the same token ECS names the task that it has made, if it has."""
    try:
        for task in aws.call_once("ecs", "RunTask", clientToken=token, **request).get("tasks") or []:
            ask_to_stop(aws, request["cluster"], task["taskArn"], "interrupted", launched=time.time())
    except AwsError:
        pass  # its time to live ends it, or the next sweep: the ledger has the launch


def _refused(error: AwsError) -> StartError:
    if error.gone:
        return lost_engine(error, "launch")
    verdict = judge_reason(f"{error.code}: {error.reason}")
    transient = error.transient if verdict.cause == Cause.UNKNOWN else verdict.transient
    message = f"the task could not be launched: {error}"
    if verdict.remedy and "\n" not in str(error):  # else it has a remedy of its own, which knows more
        message += f"\n{verdict.remedy}"
    return StartError(
        message, phase="launch", cause=verdict.cause, reason=error.reason or error.code, transient=transient
    )


def _for_good(failure: StartError) -> StartError:
    return StartError(failure.message, phase=failure.phase, cause=failure.cause, reason=failure.reason, transient=False)


def lost_engine(error: AwsError, phase: str) -> StartError:
    """Where the engine ended under a start: nothing of it is left, and another engine may serve by now."""
    return StartError(str(error), phase=phase, cause=Cause.ENGINE_LOST, reason=error.reason, transient=True)


def _not_placed(answer: Mapping[str, Any]) -> StartError:
    failures = answer.get("failures") or [{"reason": "ECS answered with neither a task nor a failure"}]
    reason = "; ".join(" ".join(filter(None, (each.get("reason"), each.get("detail")))) for each in failures)
    verdict = judge_reason(reason)
    message = f"ECS could not place the task: {reason}"
    return StartError(
        f"{message}\n{verdict.remedy}" if verdict.remedy else message,
        phase="launch",
        cause=verdict.cause,
        reason=reason,
        transient=verdict.transient,
    )


def _network(cfg: EcsFargateConfig) -> dict[str, Any]:
    if not cfg.subnets:
        raise ConfigError("`subnets` is empty: name at least one subnet in which tasks may run", key="subnets")
    network: dict[str, Any] = {
        "subnets": list(cfg.subnets),
        "assignPublicIp": "ENABLED" if cfg.assign_public_ip else "DISABLED",
    }
    if cfg.security_groups:
        network["securityGroups"] = list(cfg.security_groups)
    return network


def _overrides(environments: Mapping[str, Mapping[str, str]], commands: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    overrides = {
        "containerOverrides": [
            {
                "name": name,
                "environment": [{"name": key, "value": values[key]} for key in sorted(values)],
                **({"command": list(commands[name])} if name in commands else {}),
            }
            for name, values in environments.items()
            if values
        ]
    }
    length = len(json.dumps(overrides))
    if length > OVERRIDES_CHARACTERS:
        raise ConfigError(
            f"what differs from task to task has {length} characters, and ECS takes {OVERRIDES_CHARACTERS}: "
            "shorten extra_env and the URLs of outside endpoints",
            key="extra_env",
        )
    return overrides


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    if len(tags) > _TAGS:
        raise ConfigError(f"tags: {len(tags)} tags with ours, and AWS takes {_TAGS}", key="tags")
    return [{"key": tag_text(key, 128), "value": tag_text(value)} for key, value in tags.items()]


def tag_text(text: str, longest: int = 256) -> str:
    """AWS refuses anything but letters, digits, spaces and a few signs; a test's name has brackets."""
    text = re.sub(r"[^\w .:/=+@-]", "_", text)
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
    return (f"_{text}" if text.lower().startswith("aws:") else text)[:longest]

"""The engine's options, as `python -m pytest_fargate_sandbox.local` and `fargate-sandbox engine` take them."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_fargate_sandbox.leaves.names import ENV_ENGINE_DELAY, ENV_ENGINE_LOG, RUNNERS
from pytest_fargate_sandbox.leaves.number_within import number_within
from pytest_fargate_sandbox.local.call_journal import CallJournal
from pytest_fargate_sandbox.local.ecs.account_limits import NEW_ACCOUNT_VCPUS
from pytest_fargate_sandbox.local.faults import COUNTED, TIMED, parse_fault
from pytest_fargate_sandbox.local.ssm.session_times import SessionTimes


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is started with."""

    state: Path | None = None
    port: int = 0
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    launch_delay: tuple[float, float] = (0.0, 0.0)
    agent_delay: tuple[float, float] = (0.0, 0.0)
    sessions: SessionTimes = field(default_factory=SessionTimes)
    log: Path | None = None
    runner: str = "auto"
    real_health: bool = False
    faults: tuple[str, ...] = ()
    open: bool = False
    vcpus: float | None = None
    """The account's quota, with all of AWS's other limits; None: no limits."""


def _vcpus(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of vCPUs, such as 6 or 0.5")
    return float(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, such as 30 or 0.5")
    return float(text)


def _seconds_range(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    if match is None or (match[2] and float(match[2]) < float(match[1])):
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds (30) nor a range of seconds (20-60)")
    return float(match[1]), float(match[2] or match[1])


_FAULTS = "; ".join(f"{name}: {meaning}" for name, meaning in {**COUNTED, **TIMED}.items())

_VARIABLES = {"--launch-delay": ENV_ENGINE_DELAY, "--log": ENV_ENGINE_LOG}
"""By which of the environment an option is given as well."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "--state": {
        "type": Path,
        "metavar": "DIR",
        "help": "write DIR/engine.json, by which pytest --fargate-engine=DIR finds the engine",
    },
    "--port": {
        "type": number_within(0, 65535, "a port"),
        "default": 0,
        "help": "the port on 127.0.0.1 (default: a free one)",
    },
    "--image": {
        "action": "append",
        "default": [],
        "metavar": "NAME=DIR[:DIR...]",
        "help": "map a reference to directories, upper first",
    },
    "--launch-delay": {
        "type": _seconds_range,
        "default": "0",
        "metavar": "S|LO-HI",
        "help": f"how long a task stays PROVISIONING (default: {ENV_ENGINE_DELAY}, or 0)",
    },
    "--agent-delay": {
        "type": _seconds_range,
        "default": "0",
        "metavar": "S|LO-HI",
        "help": "how long after a container's start its agent of ECS Exec is there (default: 0; on AWS 30 to 60)",
    },
    "--session-idle": {
        "type": _seconds,
        "default": SessionTimes.idle_sec,
        "metavar": "S",
        "help": "a session in which nothing passes for so long is ended (default: %(default).0f, as on AWS)",
    },
    "--session-reconnect": {
        "type": _seconds,
        "default": SessionTimes.channel_sec,
        "metavar": "S",
        "help": "each connection of a session is closed when it is so old (default: %(default).0f, as on AWS)",
    },
    "--log": {
        "type": Path,
        "metavar": "FILE",
        "help": f"append a JSON line for each call and each task transition (default: {ENV_ENGINE_LOG})",
    },
    "--runner": {
        "choices": ("auto", *RUNNERS),
        "default": "auto",
        "help": "how containers run; auto: by the images of each task, as far as it works here (default: auto)",
    },
    "--real-health": {
        "action": "store_true",
        "help": "check health at AWS's own timing instead of as soon as possible",
    },
    "--open": {
        "action": "store_true",
        "help": "any credentials will do: then every user of this machine can run tasks as the engine's user",
    },
    "--limits": {
        "choices": ("none", "aws"),
        "default": "none",
        "help": "aws: answer as an account does that calls ECS too often, or runs more vCPUs at once than it may",
    },
    "--vcpus": {
        "type": _vcpus,
        "metavar": "N",
        "help": "with --limits aws: how many may be in use at once"
        f" (default: {NEW_ACCOUNT_VCPUS:.0f}, as in a new account)",
    },
    "--fault": {
        "action": "append",
        "default": [],
        "metavar": "NAME=NUMBER",
        "help": f"make something fail. {_FAULTS}",
    },
}


def add_options(parser: argparse.ArgumentParser) -> None:
    for flag, takes in _OPTIONS.items():
        given = os.environ.get(_VARIABLES.get(flag, ""))
        parser.add_argument(flag, **{**takes, "default": given} if given else takes)


def _check_log(log: Path | None) -> None:
    """Now, and by the name of who asked for it: it is opened when moto has loaded."""
    by_environment = str(log) == os.environ.get(ENV_ENGINE_LOG)
    try:
        CallJournal(log).close()
    except OSError as error:
        name = ENV_ENGINE_LOG if by_environment else "--log"
        raise ValueError(f"{name}={log}: this log cannot be written: {error.strerror}") from None


def options_from(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> EngineOptions:
    """Checked options; what is wrong ends the program by ``parser.error``."""
    try:
        for spec in parsed.fault:
            parse_fault(spec)
        images = dict(map(_image, parsed.image))
        if parsed.vcpus and parsed.limits != "aws":
            raise ValueError("--vcpus is the quota of --limits aws, which is not asked for")
        _check_log(parsed.log)
    except ValueError as error:
        parser.error(str(error))
    return EngineOptions(
        state=parsed.state,
        port=parsed.port,
        images=images,
        launch_delay=parsed.launch_delay,
        agent_delay=parsed.agent_delay,
        sessions=SessionTimes(parsed.session_idle, parsed.session_reconnect),
        log=parsed.log,
        runner=parsed.runner,
        real_health=parsed.real_health,
        faults=tuple(parsed.fault),
        open=parsed.open,
        vcpus=(parsed.vcpus or NEW_ACCOUNT_VCPUS) if parsed.limits == "aws" else None,
    )


def _image(spec: str) -> tuple[str, tuple[str, ...]]:
    name, _, text = spec.rpartition("=")
    directories = tuple(text.split(":"))
    if not name or not text:
        raise ValueError(f"--image {spec!r}: expected NAME=DIR[:DIR...]")
    for directory in directories:
        if not Path(directory).is_dir():
            raise ValueError(f"--image {spec!r}: {directory!r} is not a directory")
    return name, tuple(str(Path(directory).resolve()) for directory in directories)

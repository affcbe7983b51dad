"""One table of the marker's keys: what ``pytest --markers`` and docs/pytest.md say of them is made of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.plugin.settings.option_table import ARTIFACTS_WHEN, KEEP, NETWORKS
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES

if TYPE_CHECKING:
    from collections.abc import Iterable


def _either(words: Iterable[str]) -> str:
    *others, last = (f'`"{word}"`' for word in words)
    return f"{', '.join(others)} or {last}"


_MODES = "{modes}"
"""A plugin of the user's may register one after this file was imported."""

MEANINGS = {
    "image": "a reference or a template",
    "environment": "a directory with a Dockerfile, relative to the test's file; not together with `image`",
    "task": "a task folder for [`fargate_task`](tasks.md#driving-an-agent), relative to the test's file",
    "cpu": "CPU units",
    "memory": "MiB, of which the sidecar has 64 to itself",
    "storage": "GiB, 21 to 200",
    "ttl": "seconds until the task [ends by itself](#time-to-live)",
    "mode": f"{_MODES}; `ecs-exec` has no sidecar and no open port, see [the way in](aws.md#the-way-in)",
    "container_port": "where an agent listens, which `local_port` leads to; further ports, in every mode, by `expose`",
    "keep": f"{_either(KEEP)}: whether the task outlives its test",
    "env": "a mapping of names to strings; a number, true and false are written as JSON writes them",
    "files": "a mapping of remote paths to local ones, relative to the test's file",
    "outside": "a list of `OutsideEndpoint` or `(url, env_var)`",
    "exec_timeout": "the default `timeout_sec` of `exec`",
    "artifacts": "globs of the files that are [saved](artifacts.md#in-pytest) where `--fargate-artifacts` says",
    "artifacts_when": f"{_either(reversed(ARTIFACTS_WHEN))}; the first is the default with `artifacts`",
    "snapshot": "the path of a saved [snapshot](snapshots.md#in-pytest), relative to the test's file, that the sandbox "
    "begins with; or a mapping of its directories to such paths",
    "allowed_changes": "globs, relative to the snapshot's directory: a test that changes its sandbox "
    "[elsewhere](snapshots.md#in-pytest) there fails",
    "slot": "`True`: the sandbox is a clean [slot](slots.md#in-pytest) of a machine that tests share",
    "network": f"what the sandbox [reaches](network.md#the-internet-network): {_either(NETWORKS)}",
    "user": "who the container's processes are; without it who the image says, and only root can become others",
    "retries": "how often this test may run again after an infrastructure error; 0: never",
}


def registered() -> str:
    """The marker as pytest is told of it."""
    told = "; ".join(f"{key}: {_plain(_with_modes(meaning))}" for key, meaning in MEANINGS.items())
    keys = ", ".join(f"{key}=" for key in MEANINGS)
    return f"fargate({keys}): what the test's sandbox is made of, and what becomes of it. {told}."


def table() -> str:
    """For the docs."""
    rows = [f"| `{key}` | {_with_modes(meaning)} |" for key, meaning in MEANINGS.items()]
    return "\n".join(["| key | meaning |", "| --- | --- |", *rows]) + "\n"


def _with_modes(meaning: str) -> str:
    return meaning.replace(_MODES, _either(MODES))


def _plain(meaning: str) -> str:
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", meaning).replace("`", "").replace('"', "'")

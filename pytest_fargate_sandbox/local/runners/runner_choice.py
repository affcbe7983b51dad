"""Chooses the way in which containers run, from what this machine has."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import RUNNERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.runners.runner_contract import Runner

_MADE_BY = {
    "namespaces": ("namespaces.namespaces_runner", "NamespacesRunner"),
    "podman": ("podman.command_runner", "PodmanRunner"),
    "docker": ("podman.command_runner", "DockerRunner"),
}


class NoRunner(Exception):
    """Nothing here can run a container; the text says what was tried, and what to do about each."""


def open_runner(choice: str, images: Mapping[str, tuple[str, ...]], gate_address: tuple[str, int]) -> Runner:
    """The runner that was asked for, or with ``auto`` the first that works."""
    tried = []
    for name in RUNNERS if choice == "auto" else (choice,):
        kind = _kind(name)
        problem = kind.available()
        if problem is None:
            runner: Runner = kind(images=images, gate_address=gate_address)
            return runner
        tried.append(f"  {name}: {problem}")
    raise NoRunner("The engine found no way to run containers on this machine. Tried:\n" + "\n".join(tried))


@cache
def program_for_images() -> str | None:
    """The program here that has images and pulls them; what is installed later is for the next engine."""
    return next((name for name in ("podman", "docker") if _kind(name).available() is None), None)


def _kind(name: str) -> Any:
    module, made_by = _MADE_BY[name]
    return getattr(import_module(f"pytest_fargate_sandbox.local.runners.{module}"), made_by)

"""Chooses the way in which containers run, from what this machine has."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.runners.runner_contract import Runner

_RUNNERS = {
    "namespaces": ("pytest_fargate_sandbox.local.runners.namespaces", "NamespacesRunner"),
    "podman": ("pytest_fargate_sandbox.local.runners.podman", "PodmanRunner"),
    "docker": ("pytest_fargate_sandbox.local.runners.podman.docker", "DockerRunner"),
}


class NoRunner(Exception):
    """Nothing here can run a container; the text says what was tried, and what to do about each."""


def open_runner(choice: str, images: Mapping[str, tuple[str, ...]], gate_address: tuple[str, int]) -> Runner:
    """The runner that was asked for, or with ``auto`` the first that works."""
    tried = []
    for name in _RUNNERS if choice == "auto" else (choice,):
        module_name, class_name = _RUNNERS[name]
        module: Any = import_module(module_name)
        problem = module.available()
        if problem is None:
            runner: Runner = getattr(module, class_name)(images=images, gate_address=gate_address)
            return runner
        tried.append(f"  {name}: {problem}")
    raise NoRunner("The engine found no way to run containers on this machine. Tried:\n" + "\n".join(tried))

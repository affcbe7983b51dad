"""What the tests talk to that pip does not install: whether it is here is decided here, with one sentence for each.

A test or a fixture says ``need("sshd")``, or is marked ``needs("sshd")``. Where it is missing the test is skipped, and
fails in CI, unless it is one of those that not every machine can have. ``tests/all`` installs what can be had.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.control_group import open_control_group
from pytest_fargate_sandbox.local.runners.namespaces.probe import available
from pytest_fargate_sandbox.local.runners.network.way_out import no_tun
from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand
from pytest_fargate_sandbox.local.runners.podman.command_runner import PodmanRunner
from pytest_fargate_sandbox.local.runners.podman.network_of_steps import no_network
from tests.local import unprivileged
from tests.skips import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

_LISTED = (line.split() for line in Path(__file__).with_name("debian-packages").read_text().splitlines())
_PACKAGES = dict(_LISTED)
"""Each program with the package of Debian's that has it, as ``tests/set-up`` installs them."""

_LIMITS = {
    "memory": ("memory.max", "memory.limit_in_bytes"),
    "CPU": ("cpu.max", "cpu.cfs_quota_us"),
    "process": ("pids.max",),
}
"""Of version 2 and of version 1."""

SESSION_PEERS = Path(sys.prefix) / "session-peers"
"""Foreign clients of the Session Manager, with packages of their own."""

AXE = Path(sys.prefix) / "page-checks/node_modules/axe-core/axe.min.js"
"""https://github.com/dequelabs/axe-core: whether everybody can use a page."""

FOREIGN_CLIENTS = Path(sys.prefix) / "foreign-clients"
"""Programs of others that use ECS; below ``root`` as they lie in an image, too."""

OTHER_PLUGINS = Path(sys.prefix) / "other-plugins"
"""Plugins of pytest that only their own tests have on the path."""

_SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"])


def need(*components: str) -> None:
    """Without all of them the test that asks, itself or by a fixture, is skipped."""
    for component in components:
        problem = _problem(component)
        if problem:
            pytest.skip(ELSEWHERE + problem if component in _NOT_EVERYWHERE else problem)


def program(name: str) -> str:
    """Where it is; without it the test that asks is skipped."""
    need(name)
    return str(shutil.which(name, path=_SEARCHED))


@cache
def _problem(component: str) -> str | None:
    return _COMPONENTS[component]()


def _no_program(name: str) -> str | None:
    if shutil.which(name, path=_SEARCHED):
        return None
    return f"{name} is not installed here (Debian: apt-get install {_PACKAGES[name]})"


def _no_busybox() -> str | None:
    """It has to run in a root file system without any library."""
    found = shutil.which("busybox", path=_SEARCHED)
    if not found:
        return _no_program("busybox")
    if subprocess.run(["ldd", found], capture_output=True, check=False).returncode:
        return None
    return f"the busybox that is installed here needs libraries (Debian: apt-get install {_PACKAGES['busybox']})"


def _no_podman() -> str | None:
    return _no_program("podman") or _problem("busybox") or PodmanRunner.available()


def _no_build_steps() -> str | None:
    return _problem("podman") or no_network(ContainerCommand("podman"))


def _no_podmans_limits(controller: str) -> str | None:
    if problem := _problem("podman"):
        return problem
    if controller in ContainerCommand("podman").info["host"].get("cgroupControllers", ()):
        return None
    return f"podman has no control group here that limits {controller} (without root: one of version 2, with systemd)"


def _no_docker_on_podman() -> str | None:
    """podman's service says to docker that it limits processes, wherever it runs."""
    if problem := _problem("docker") or _problem("podman"):
        return problem
    is_old = ContainerCommand("podman").info["host"]["cgroupVersion"] == "v1"
    return None if is_old else _problem("podman's process limits")


def _no_debian() -> str | None:
    if shutil.which("dpkg"):
        return _problem("podman")
    return "an image of Debian is made of this machine's own packages, and this is no Debian"


def _no_user_namespaces() -> str | None:
    done = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True, check=False)
    return f"this machine lets us make no user namespace: {done.stderr.strip()}" if done.returncode else None


def _no_limits(controller: str) -> str | None:
    group = open_control_group(f"fargate-sandbox-test-{os.getpid()}")
    files = [directory / name for directory in (group.directories if group else ()) for name in _LIMITS[controller]]
    found = any(file.exists() for file in files)
    if group:
        group.remove()
    return None if found else f"this machine gives us no control group that limits {controller}"


def _no_module(name: str) -> str | None:
    with contextlib.suppress(ModuleNotFoundError):  # what it stands in is missing
        if find_spec(name):
            return None
    return f"{name} is not installed here (pip install {re.sub('[_.]', '-', name)})"


def _no_session_peer(program: str, wanted: str) -> str | None:
    if (SESSION_PEERS / program).exists():
        return None
    return f"{SESSION_PEERS / program} is not there: with {wanted}, run tests/local/ssm/install-peers {sys.prefix}"


def _no_foreign_client(path: str, wanted: str = "pip") -> str | None:
    if (FOREIGN_CLIENTS / path).exists():
        return None
    return f"{FOREIGN_CLIENTS / path} is not there: with {wanted}, run tests/local/install-clients {sys.prefix}"


def _no_pytest_opentelemetry() -> str | None:
    if (OTHER_PLUGINS / "pytest_opentelemetry").exists():
        return _problem("opentelemetry")
    return f"pytest-opentelemetry is not in {OTHER_PLUGINS}: run tests/set-up {sys.prefix}"


_COMPONENTS: dict[str, Callable[[], str | None]] = {
    **{name: partial(_no_program, name) for name in _PACKAGES},
    "busybox": _no_busybox,
    "podman": _no_podman,
    "build steps": _no_build_steps,
    "closed /dev/net/tun": lambda: None if no_tun() else "whoever runs these tests may open /dev/net/tun",
    "podman's memory limits": partial(_no_podmans_limits, "memory"),
    "podman's process limits": partial(_no_podmans_limits, "pids"),
    "docker on podman": _no_docker_on_podman,
    "debian": _no_debian,
    "namespaces": available,
    "user namespaces": _no_user_namespaces,
    "memory limits": partial(_no_limits, "memory"),
    "CPU limits": partial(_no_limits, "CPU"),
    "process limits": partial(_no_limits, "process"),
    "another user": unprivileged.problem,
    "rerunfailures": partial(_no_module, "pytest_rerunfailures"),
    "timeout": partial(_no_module, "pytest_timeout"),
    "opentelemetry": partial(_no_module, "opentelemetry.sdk"),
    "pytest-opentelemetry": _no_pytest_opentelemetry,
    "asciinema": partial(_no_module, "asciinema"),
    "axe": lambda: None if AXE.exists() else f"{AXE} is not there: with npm, run tests/set-up {sys.prefix}",
    "aws": partial(_no_foreign_client, "root/opt/clients/awscli"),
    "swe-rex": partial(_no_foreign_client, "root/opt/clients/swerex"),
    "js-sdk": partial(_no_foreign_client, "node_modules/@aws-sdk/client-ecs", "node and npm"),
    "pyssm": partial(_no_session_peer, "bin/pyssm", "a Python from 3.12 on"),
    "ssm-session": partial(_no_session_peer, "node_modules/ssm-session", "node and npm"),
}
_NOT_EVERYWHERE = frozenset({"closed /dev/net/tun", "axe", "js-sdk", "pyssm", "ssm-session"})
"""Of a language, or a version of one, that nothing else here needs."""

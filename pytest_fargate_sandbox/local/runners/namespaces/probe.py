"""Whether this machine lets us run containers: by trying, since there are many ways to forbid it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from pytest_fargate_sandbox.local.runners.namespaces.scratch import NoScratch, Scratch
from pytest_fargate_sandbox.local.runners.namespaces.sealed_program import start_module

_TIMEOUT = 30
_SWITCHES = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    ),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    "/proc/sys/user/max_user_namespaces": ("0", "sudo sysctl -w user.max_user_namespaces=10000"),
}  # fmt: skip


def available() -> str | None:
    """None where the namespaces runner works; else why it does not, and what would help."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {platform.system()}: install podman or docker"
    try:
        scratch = Scratch()
    except NoScratch as error:
        return str(error)
    try:
        return _try_in(scratch.path)
    finally:
        scratch.remove()


def _try_in(directory: Path) -> str | None:
    """In a program of its own: only one with a single thread can be given namespaces."""
    module = "pytest_fargate_sandbox.local.runners.namespaces.trial"
    try:
        trial = start_module(
            module, str(directory), env=dict(os.environ), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except OSError as error:
        return f"the kernel runs no program from memory, see vm.memfd_noexec: {error}"
    with trial:
        try:
            _, said = trial.communicate(timeout=_TIMEOUT)
        finally:
            trial.kill()
    if trial.returncode == 0:
        return None
    return f"{said.decode(errors='replace').strip()}; {_remedy()}"


def _remedy() -> str:
    if os.geteuid() == 0:
        return "root of a container lacks the rights: run it with --privileged, or install podman or docker beside it"
    for file, (forbidding, command) in _SWITCHES.items():
        switch = Path(file)
        if switch.exists() and switch.read_text().strip() == forbidding:
            return (
                f"this machine keeps users from namespaces: `{command}` allows them; or run as root, or install podman"
            )
    return "run as root, or install podman"

"""Whether this machine lets us run containers: by trying, since there are many ways to forbid it."""

from __future__ import annotations

import os
import platform
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path

from pytest_fargate_sandbox.local.runners.namespaces.scratch import NoScratch, Scratch
from pytest_fargate_sandbox.local.runners.namespaces.sealed_program import start_module, start_python

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
    """Only a process with a single thread can be given namespaces: a fork of ours, if we are one, else a program.

    An engine is one at its start, which a program of its own would make 40 ms longer.
    """
    try:
        if len(os.listdir("/proc/self/task")) == 1:  # noqa: PTH208
            start_python("-V", env=dict(os.environ), stdout=subprocess.DEVNULL).wait(_TIMEOUT)
            code, said = _fork(directory)
        else:
            code, said = _start_program(directory)
    except OSError as error:
        return f"the kernel runs no program from memory, see vm.memfd_noexec: {error}"
    return None if code == 0 else f"{said.decode(errors='replace').strip()}; {_remedy()}"


def _start_program(directory: Path) -> tuple[int, bytes]:
    module = "pytest_fargate_sandbox.local.runners.namespaces.trial"
    with start_module(
        module, str(directory), env=dict(os.environ), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as trial:
        try:
            _, said = trial.communicate(timeout=_TIMEOUT)
        finally:
            trial.kill()
    return trial.returncode, said


def _fork(directory: Path) -> tuple[int, bytes]:
    from pytest_fargate_sandbox.local.runners.namespaces import linux, trial

    ended, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            linux.die_with_parent()
            os.dup2(said, 2)
            code = trial.enter_once(directory)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(said)
    if not select.select([ended], [], [], _TIMEOUT)[0]:
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(ended, "rb") as words:
        text = words.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


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

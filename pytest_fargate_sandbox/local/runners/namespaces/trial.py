"""Enter a container's root once, as tasks will.

python -m pytest_fargate_sandbox.local.runners.namespaces.trial DIRECTORY
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytest_fargate_sandbox.local.runners.namespaces import linux, privileges
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import ContainerPlan
from pytest_fargate_sandbox.local.runners.namespaces.container_root import enter_root
from pytest_fargate_sandbox.local.runners.namespaces.task_namespaces import (
    CONTAINER_NAMESPACES,
    TASK_NAMESPACES,
    bring_loopback_up,
    map_own_user,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    linux.die_with_parent()
    os._exit(enter_once(Path(sys.argv[1])))


def enter_once(directory: Path) -> int:
    """0, or what went wrong is on descriptor 2. Only for a process with a single thread, and nothing else to do."""
    if not linux.SUPPORTED:
        return _complain(f"it knows the system calls of x86_64 and aarch64, not of {linux.MACHINE}")
    rootless, uid, gid = os.geteuid() != 0, os.geteuid(), os.getegid()
    plan = _empty_container(directory, rootless=rootless)
    try:
        task = linux.clone(TASK_NAMESPACES | (linux.CLONE_NEWUSER if rootless else 0))
    except OSError as error:
        return _complain(_refused(error))
    if task == 0:
        _attempt(lambda: _be_task(plan, uid, gid))
    return os.waitstatus_to_exitcode(os.waitpid(task, 0)[1])


def _complain(text: str) -> int:
    os.write(2, text.encode())
    return 1


def _be_task(plan: ContainerPlan, uid: int, gid: int) -> int:
    if plan.rootless:
        map_own_user(uid, gid)
    bring_loopback_up()
    container = linux.clone(CONTAINER_NAMESPACES)
    if container == 0:
        _attempt(lambda: _be_container(plan))
    return os.waitstatus_to_exitcode(os.waitpid(container, 0)[1])


def _be_container(plan: ContainerPlan) -> int:
    linux.set_host_name(plan.host_name)
    enter_root(plan)
    privileges.give_up_privileges(rootless=plan.rootless, raw_sockets=True)
    return 0


def _attempt(act: Callable[[], int]) -> NoReturn:
    try:
        os._exit(act())
    except OSError as error:
        _complain(_refused(error))
    os._exit(1)


def _refused(error: OSError) -> str:
    return f"the kernel refused: {error}"


def _empty_container(directory: Path, *, rootless: bool) -> ContainerPlan:
    for name in ("layer", "root", "upper", "work"):
        (directory / name).mkdir()
    (directory / "hosts").touch()
    return ContainerPlan(
        name="trial",
        directory=str(directory),
        layers=(str(directory / "layer"),),
        host_layers=(),
        binds=(),
        argv=(),
        environment={},
        host_name="trial",
        hosts_file=str(directory / "hosts"),
        resolver="",
        search_path="",
        rootless=rootless,
    )


if __name__ == "__main__":
    main()

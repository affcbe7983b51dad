"""A container's first process, from the fork to the image's program (or the built-in sidecar).

Runs in a child of the holder that is alone in its namespaces. Whatever it needs is imported by the launcher:
after ``enter_root`` there is nothing to import from.
"""

from __future__ import annotations

import os
import resource
import signal
import traceback
from typing import TYPE_CHECKING, NoReturn

from pytest_fargate_sandbox.local.runners.namespaces import container_root, image_user, linux, privileges
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import DEFAULT_PATH
from pytest_fargate_sandbox.local.runners.namespaces.descriptors import close_inherited
from pytest_fargate_sandbox.local.runners.task_limits import most_processes
from pytest_fargate_sandbox.local.sidecar import sidecar_server

if TYPE_CHECKING:
    import socket

    from pytest_fargate_sandbox.local.runners.namespaces.container_plan import ContainerPlan

_COULD_NOT_START = 127
_FILES_ON_FARGATE = 65_535  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
_LONGEST_REASON = 60_000
_TERMINATED = 128 + signal.SIGTERM


class NotStartable(Exception):
    """Why this container cannot run; the text is what the OCI runtime on Fargate says."""


def run_container(plan: ContainerPlan, output: int, status: int, listener: socket.socket | None) -> NoReturn:
    """Become the container. ``status`` closes when its program runs, or carries the reason why it does not."""
    try:
        linux.die_with_parent()
        # Sockets of the host's network, other tasks, the way to the engine.
        close_inherited(output, status, listener.fileno() if listener else status)
        _connect_output(output)
        join_cgroups(open_cgroups(plan.cgroups))
        linux.unshare(linux.CLONE_NEWCGROUP)  # so that they are all that the container knows of cgroups
        linux.set_host_name(plan.host_name)
        container_root.enter_root(plan)
        _connect_input()
        _set_limits(plan)
        if listener and plan.sidecar_volume:
            _serve(plan, status, listener, plan.sidecar_volume)
        _execute(plan, plan.argv)
    except NotStartable as error:
        _report(status, str(error))
    except BaseException:  # nobody above us could say it
        _report(status, "failed to create the container: " + traceback.format_exc())
    os._exit(_COULD_NOT_START)


def be_of_container(cgroups: list[int], *kept: int) -> None:
    """In a fork that has entered its namespaces: be in its cgroups, and have nothing of ours but ``kept``."""
    linux.die_with_parent()
    join_cgroups(cgroups)
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    close_inherited(*kept)


def run_in_container(plan: ContainerPlan, argv: tuple[str, ...], cgroups: list[int]) -> NoReturn:
    """A further process, in a fork that has entered the container's namespaces: a health check."""
    try:
        be_of_container(cgroups)
        _set_limits(plan)
        _execute(plan, argv)
    except BaseException:  # a check that cannot run has failed
        pass
    os._exit(_COULD_NOT_START)


def _report(status: int, reason: str) -> None:
    try:
        os.write(status, reason.encode()[:_LONGEST_REASON])
    except OSError:
        pass


def _connect_output(output: int) -> None:
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.umask(0o022)


def _connect_input() -> None:
    """To the container's own null device: a file of the host's would be a thread to it."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def open_cgroups(cgroups: tuple[str, ...]) -> list[int]:
    """While the host's files can be seen: the doors for ``join_cgroups``."""
    doors = []
    for directory in cgroups:
        try:
            doors.append(os.open(directory + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        except OSError:  # noqa: PERF203 - this machine lets us make groups, but not move to them: then without a limit
            pass
    return doors


def join_cgroups(doors: list[int]) -> None:
    """With all that this process becomes and forks."""
    for door in doors:
        try:
            os.write(door, b"0")
        except OSError:  # the same
            pass
        os.close(door)


def _set_limits(plan: ContainerPlan) -> None:
    _lower_limit(resource.RLIMIT_NOFILE, _FILES_ON_FARGATE)
    if plan.rootless:
        # Counts the task alone since Linux 5.14, which counts by user namespace; root is exempt from it (fork(2)).
        _lower_limit(resource.RLIMIT_NPROC, most_processes())
    for name, soft, hard in plan.ulimits:
        number = getattr(resource, "RLIMIT_" + name.upper(), None)
        if number is None:
            raise NotStartable(f"invalid ulimit {name!r}")
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            raise NotStartable(f"error setting rlimit {name} to {soft}:{hard}: {error}") from error


def _lower_limit(number: int, most: int) -> None:
    _, hard = resource.getrlimit(number)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(number, (limit, limit))


def _serve(plan: ContainerPlan, status: int, listener: socket.socket, shared_dir: str) -> NoReturn:
    """The built-in sidecar. It has nothing to save, so TERM ends it at once (PID 1 would not even hear it)."""
    signal.set_wakeup_fd(-1)  # the holder's
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_TERMINATED))
    privileges.give_up_privileges(rootless=plan.rootless, raw_sockets=not plan.has_way_out)
    os.environ.clear()
    os.environ.update(plan.environment)
    os.close(status)
    try:
        code = sidecar_server.serve(listener, plan.environment, shared_dir)
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def _execute(plan: ContainerPlan, argv: tuple[str, ...]) -> NoReturn:
    who = _identity_of(plan)
    environment = {"PATH": plan.search_path, "HOSTNAME": plan.host_name, "HOME": who.home} | dict(plan.environment)
    _enter_working_directory(plan.working_directory or "/")
    _become(who, plan)
    _restore_signals()
    raise NotStartable(_try_paths(argv, environment))


def _identity_of(plan: ContainerPlan) -> image_user.ImageUser:
    try:
        who = image_user.find_user(plan.user)
    except image_user.UnknownUser as error:
        raise NotStartable(str(error)) from None
    if plan.rootless and (who.uid, who.gid) != (0, 0):
        raise NotStartable(
            f"user {plan.user!r}: an engine without root has one user per task, root; "
            "run the engine as root, or with podman or docker, to run as another"
        )
    return who


def _enter_working_directory(path: str) -> None:
    try:
        os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103
        os.chdir(path)
    except OSError as error:
        raise NotStartable(f"workingDirectory {path!r}: {error.strerror}") from error


def _become(who: image_user.ImageUser, plan: ContainerPlan) -> None:
    privileges.give_up_privileges(rootless=plan.rootless, raw_sockets=not plan.has_way_out)
    if not plan.rootless:
        os.setgroups(who.groups)
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
        linux.die_with_parent()  # a change of user has taken it back


def _restore_signals() -> None:
    """What Python, the launcher or whoever started us ignores, an executed program would go on ignoring."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _try_paths(argv: tuple[str, ...], environment: dict[str, str]) -> str:
    """Execute as a shell would look it up; returns only where that failed, with the runtime's own words."""
    program = argv[0]
    if "/" in program:
        candidates = [program]
    else:
        candidates = [f"{place or '.'}/{program}" for place in environment.get("PATH", DEFAULT_PATH).split(":")]
    denied = ""
    for path in candidates:
        try:
            os.execve(path, argv, environment)
        except (FileNotFoundError, NotADirectoryError):  # noqa: PERF203
            continue
        except PermissionError:
            denied = denied or path
        except (OSError, ValueError) as error:
            return f"exec {path}: {getattr(error, 'strerror', None) or error}".lower()
    if denied:
        return f'exec: "{denied}": permission denied'
    if "/" in program:
        return f'exec: "{program}": stat {program}: no such file or directory'
    return f'exec: "{program}": executable file not found in $PATH'

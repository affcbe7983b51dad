"""The engine's own sidecar: it stands where the AWS sidecar's container would, and acts on the same environment.

The namespaces runner forks a warm process that has imported this module, puts it into the task's namespaces and calls
``serve`` with a socket that was bound outside them: a connection from the host ends here without a relay, and what
this process opens on 127.0.0.1 is inside the task.
"""

from __future__ import annotations

import io
import select
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import paramiko

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.local.runners.network.port_listeners import listening
from pytest_fargate_sandbox.local.sidecar.reverse_ports import ReversePorts
from pytest_fargate_sandbox.local.sidecar.sidecar_ssh import Session
from pytest_fargate_sandbox.server.relocatable import copy_runtime
from pytest_fargate_sandbox.server.tunnel.lone_end import take_tunnels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MOST_IDLE_SESSIONS = 32
_LONGEST_LOOK_SEC = 3600.0
"""poll() takes 24 days at most."""
_EXIT_TERMINATED = 128 + signal.SIGTERM


def serve(listener: socket.socket, environment: Mapping[str, str], shared_dir: str) -> int:
    """Serve until the task's time is over or SIGTERM comes; the exit code of the container.

    Sessions end with the process, whose end follows.
    """
    expires = time.monotonic() + float(environment.get(names.ENV_TTL) or names.DEFAULT_TTL_SEC)
    _make_work_dir(shared_dir)
    if environment.get(names.ENV_RUNTIME) == names.RUNTIME_ONLY:
        _serve_runtime(environment, shared_dir)
        return 0 if Path(_within(shared_dir, names.RUNTIME_READY)).exists() else 1
    _add_hosts(environment.get(names.ENV_HOSTS))
    host_key = paramiko.Ed25519Key.from_private_key(io.StringIO(environment[names.ENV_HOST_KEY]))
    authorized_key = environment[names.ENV_AUTHORIZED_KEY]
    threading.Thread(target=_serve_runtime, args=(environment, shared_dir), name="runtime", daemon=True).start()
    ports = ReversePorts()
    sessions: list[Session] = []
    try:
        _end_on_sigterm()
        for sock in _connections([listener, *_inner_listeners(environment)], expires):
            sessions = _with_room(sessions)
            try:
                sessions.append(Session(sock, host_key, authorized_key, ports))
            except (OSError, RuntimeError):  # no thread is to be had for it, for the moment
                sock.close()
        return names.EXIT_EXPIRED
    except _Terminated:
        return _EXIT_TERMINATED


def check(environment: Mapping[str, str], shared_dir: str = names.SHARED_DIR) -> int:
    """What the AWS sidecar's health check says, for the engine to call inside the task's network; 0 is healthy."""
    places = {_place(each) for each in environment.get(names.ENV_REVERSE_PORTS, "").split(",") if each}
    dropping = environment.get(names.ENV_RUNTIME) == names.RUNTIME_DROP
    if not Path(_within(shared_dir, names.WORK_DIR)).is_dir():
        return 1
    if dropping and not Path(_within(shared_dir, names.RUNTIME_READY)).exists():
        return 1
    return 0 if places <= listening() else 1


def _place(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address or LOOPBACK, int(port)


class _Terminated(BaseException):
    pass


def _end_on_sigterm() -> None:
    def end(_signal: int, _frame: object) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


def _inner_listeners(environment: Mapping[str, str]) -> list[socket.socket]:
    """Where the Session Manager is the way in, it leads to the task's loopback."""
    tunnel_port = environment.get(names.ENV_TUNNEL_PORT)
    if not tunnel_port:
        return []
    port = int(environment[names.ENV_SSHD_PORT])
    listener = socket.create_server((LOOPBACK, port))
    asked = (int(tunnel_port), port, environment[names.ENV_TOKEN_SHA256])
    threading.Thread(target=take_tunnels, args=asked, name="tunnels", daemon=True).start()
    return [listener]


def _connections(listeners: Sequence[socket.socket], expires: float) -> Iterator[socket.socket]:
    breath = pauses(0.01, 1.0)
    poller = select.poll()
    by_number = {listener.fileno(): listener for listener in listeners}
    for listener in listeners:
        listener.setblocking(False)
        poller.register(listener, select.POLLIN)
    while (left := expires - time.monotonic()) > 0:
        ready = poller.poll(min(left, _LONGEST_LOOK_SEC) * 1000)
        if not ready:
            continue
        try:
            sock, _ = by_number[ready[0][0]].accept()
        except OSError:  # the client has gone, or we are out of descriptors for the moment
            time.sleep(min(next(breath), left))
            continue
        breath = pauses(0.01, 1.0)
        sock.settimeout(None)
        yield sock


def _with_room(sessions: list[Session]) -> list[Session]:
    """Those that go on: a crowd that does not log in gives way, the oldest first, so that it cannot keep us out."""
    idle = [session for session in sessions if not session.has_logged_in]
    leaving = {session for session in sessions if session.is_over} | set(idle[:-_MOST_IDLE_SESSIONS])
    for session in leaving:
        session.close()
    return [session for session in sessions if session not in leaving]


def _add_hosts(lines: str | None) -> None:
    """Before the others: the first line that has a name holds."""
    if lines:
        hosts = Path("/etc/hosts")
        hosts.write_text(f"{lines}\n{hosts.read_text()}")


def _make_work_dir(shared_dir: str) -> None:
    """Writable by everybody: whoever the main container runs as keeps its spool there."""
    work = Path(_within(shared_dir, names.WORK_DIR))
    work.mkdir(parents=True, exist_ok=True)
    Path(shared_dir).chmod(0o755)
    work.chmod(0o1777)


def _serve_runtime(environment: Mapping[str, str], shared_dir: str) -> None:
    """Wait for the main container's wish, unless it is known beforehand, then bring a Python."""
    wanted = Path(_within(shared_dir, names.RUNTIME_WANTED))
    for pause in pauses(0.02, 0.25):
        if environment.get(names.ENV_RUNTIME) or wanted.exists():
            break
        time.sleep(pause)
    target = _within(shared_dir, names.RUNTIME_DIR)
    source = environment.get(names.ENV_RUNTIME_SOURCE)
    try:
        if source:
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("ready"))
            Path(_within(shared_dir, names.RUNTIME_READY)).touch()
        else:
            copy_runtime(target)
    except (OSError, shutil.Error) as error:
        print(f"ssh-sidecar: the main container gets no Python from here: {error}", file=sys.stderr, flush=True)


def _within(shared_dir: str, path: str) -> str:
    """One of the paths in ``names``, where the shared volume is mounted here."""
    return shared_dir + path.removeprefix(names.SHARED_DIR)

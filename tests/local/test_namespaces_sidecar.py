"""The built-in sidecar in a task of the namespaces runner: reachable without a relay, inside the task's network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart, Mount
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.fresh_keys import fresh_key_pair

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.local.runners.runner_contract import RunningTask
    from tests.local.running_tasks import RunningTasks, StartedContainer

pytestmark = pytest.mark.needs("namespaces")
_SHARED = (Mount(names.SHARED_VOLUME, names.SHARED_DIR),)
_ANSWER = (
    "import socket\n"
    "s = socket.create_server(('127.0.0.1', 7200)); print('up', flush=True)\n"
    "while True:\n"
    "  c, _ = s.accept(); c.sendall(b'from inside'); c.close()\n"
)
_RUNTIME = names.RUNTIME_DIR
_PYTHON_FROM_THE_VOLUME = (
    f"touch {names.RUNTIME_WANTED}; while ! test -e {names.RUNTIME_READY}; do sleep 0.05; done; "
    f"exec {_RUNTIME}/lib/ld.so --library-path {_RUNTIME}/lib {_RUNTIME}/bin/python3 -I -S -B "
    "-c 'import json, ssl, subprocess, sys; print(json.dumps(sys.version_info[0]))'"
)


class _Sidecar:
    def __init__(self, tasks: RunningTasks, task: RunningTask, **environment: str) -> None:
        self.task = task
        self.host_key, self.user_key = fresh_key_pair(), fresh_key_pair()
        given: dict[str, Any] = {
            names.ENV_SSHD_PORT: "2222",
            names.ENV_HOST_KEY: self.host_key.private,
            names.ENV_AUTHORIZED_KEY: self.user_key.public,
            names.ENV_TTL: "60",
        }
        self.container: StartedContainer = tasks.start(
            task=task,
            name=names.SIDECAR_CONTAINER,
            image=names.SIDECAR_REFERENCE,
            environment=given | environment,
            mounts=_SHARED,
        )

    def tunnel(self) -> SshTunnel:
        return SshTunnel(
            host=self.task.address, private_key=self.user_key.private, host_key=self.host_key.public, key_file=None
        )

    def healthy(self) -> bool:
        return self.task.run_check(names.SIDECAR_CONTAINER, ["ignored"], 5.0) == 0


def test_what_listens_on_the_tasks_loopback_is_reached_through_it(tasks: RunningTasks) -> None:
    task = tasks.open(volumes=(names.SHARED_VOLUME,))
    sidecar = _Sidecar(tasks, task)
    main = tasks.start("python3", "-c", _ANSWER, task=task, mounts=_SHARED)
    main.wait_for("up")
    with sidecar.tunnel() as tunnel:
        stream = tunnel.dial(7200)
        stream.settimeout(10.0)
        assert stream.recv(100) == b"from inside"
        stream.close()


def test_it_makes_the_work_directory_that_everybody_may_write_to(tasks: RunningTasks) -> None:
    task = tasks.open(volumes=(names.SHARED_VOLUME,))
    sidecar = _Sidecar(tasks, task)
    wait_until(lambda: sidecar.healthy() or None, deadline=20, what="a healthy sidecar")
    assert tasks.run(f"stat -c %a {names.WORK_DIR}", task=task, mounts=_SHARED) == (0, "1777\n")


def test_its_health_is_no_way_to_learn_what_is_on_the_host(tasks: RunningTasks, tmp_path: Path) -> None:
    task = tasks.open(volumes=(names.SHARED_VOLUME,))
    sidecar = _Sidecar(tasks, task)
    wait_until(lambda: sidecar.healthy() or None, deadline=20, what="a healthy sidecar")
    tasks.run(f"mv {names.WORK_DIR} /tmp; ln -s {tmp_path} {names.WORK_DIR}", task=task, mounts=_SHARED)
    assert not sidecar.healthy()


def test_it_is_healthy_when_the_reverse_ports_stand(tasks: RunningTasks) -> None:
    task = tasks.open(volumes=(names.SHARED_VOLUME,))
    sidecar = _Sidecar(tasks, task, **{names.ENV_REVERSE_PORTS: "7300"})
    with sidecar.tunnel() as tunnel:
        assert not sidecar.healthy()
        tunnel.request_reverse(7300, "127.0.0.1", 1)
        wait_until(lambda: sidecar.healthy() or None, deadline=10, what="a healthy sidecar")


def test_it_ends_with_the_reserved_code_when_the_time_is_over(tasks: RunningTasks) -> None:
    sidecar = _Sidecar(tasks, tasks.open(volumes=(names.SHARED_VOLUME,)), **{names.ENV_TTL: "0.2"})
    assert sidecar.container.wait().code == names.EXIT_EXPIRED


def test_it_stops_at_once(tasks: RunningTasks) -> None:
    sidecar = _Sidecar(tasks, tasks.open(volumes=(names.SHARED_VOLUME,)))
    wait_until(lambda: sidecar.healthy() or None, deadline=20, what="a healthy sidecar")
    sidecar.task.stop(names.SIDECAR_CONTAINER, 20.0)
    assert sidecar.container.wait().code == 143


def test_sidecars_of_two_tasks_stand_on_the_same_port_with_keys_of_their_own(tasks: RunningTasks) -> None:
    sidecars = [_Sidecar(tasks, tasks.open(volumes=(names.SHARED_VOLUME,))) for _ in range(2)]
    for sidecar in sidecars:
        with sidecar.tunnel() as tunnel:
            assert tunnel.is_open
    stranger = sidecars[0]
    stranger.user_key = sidecars[1].user_key
    with pytest.raises(Exception, match=r"(?i)auth|key"), stranger.tunnel():
        pass


def test_a_sidecar_without_the_shared_volume_cannot_start(tasks: RunningTasks) -> None:
    with pytest.raises(CannotStart, match="mounts no volume named fargate-sandbox"):
        tasks.start(image=names.SIDECAR_REFERENCE)


@pytest.mark.parametrize("environment", [{}, {names.ENV_RUNTIME: names.RUNTIME_DROP}])
def test_python_starts_from_the_volume_under_a_root_of_nothing_but_busybox(
    tasks: RunningTasks, environment: dict[str, str]
) -> None:
    task = tasks.open(volumes=(names.SHARED_VOLUME,))
    sidecar = _Sidecar(tasks, task, **environment)
    wait_until(lambda: sidecar.healthy() or None, deadline=20, what="a healthy sidecar")
    code, output = tasks.run(_PYTHON_FROM_THE_VOLUME, image="busybox", task=task, mounts=_SHARED)
    assert (code, output) == (0, "3\n")

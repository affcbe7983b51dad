"""A sandbox for each runner that the probes run in, and on the host beside it what they are after."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.server.protocol import PREFIX
from tests.as_it_stands import nobody_else_changes_the_host
from tests.hostile.host_inodes import HostInodes
from tests.local.engine_process import ROLE, EngineProcess, container, processes_of
from tests.local.strangers import EngineOf, port_of
from tests.local.unprivileged import SOMEBODY, Somebody
from tests.real_podman import debian_image

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSIDE = Path(__file__).with_name("inside")
_SERVER_PORT = 19542
_CPU, _MEMORY_MIB = 512, 1024
_OPTIONS = {"podman": ("--runner", "podman")}
_NEIGHBOUR_PORT = 7100
_TOPS = ("/opt", "/usr/share", "/usr/lib", "/root", "/var/lib/dpkg")
_WHERE_FILES_ARE = (
    *(f"{top}/fargate-sandbox-*/engine-*/tasks/*/container-*/upper" for top in (gettempdir(), "/var/tmp", "/dev/shm")),
    "/var/lib/containers/storage/overlay/*/diff",
)
_NEIGHBOUR = f"""
import os, socket
for number in (0, 1, 2):
    try:
        os.fchmod(number, 0o1666)
    except OSError:
        pass
open("/tmp/NAME", "w").write("a canary of the neighbour's")
listener = socket.create_server(("", {_NEIGHBOUR_PORT}))
while True:
    listener.accept()[0].close()
"""
"""What it was started with may be the host's, though nothing mounted is."""


class Ground:
    """``outcomes``: what each probe reached. ``changes``: of the host's inodes, seen from outside."""

    def __init__(self, outcomes: dict[str, list[str]], changes: list[str]) -> None:
        self.outcomes = outcomes
        self.changes = changes


def probed_on(runner: str, home: Path) -> Ground:
    somebody = Somebody(home / "somebody") if runner not in ("namespaces", "podman") and os.geteuid() == 0 else None
    image = debian_image() if runner == "podman" else "host"
    with ExitStack() as stack:
        told = stack.enter_context(_host_beside(home, owner=SOMEBODY if somebody else os.geteuid()))
        inodes = HostInodes("/etc", "/usr/bin", "/usr/sbin", sys.base_prefix)
        engine = EngineOf(somebody) if somebody else EngineProcess(*_OPTIONS.get(runner, ()), log=home / "log.jsonl")
        stack.callback(engine.close)
        told |= _of_engine(engine) | {"neighbour": _start_neighbour(engine, image)}
        sandbox = stack.enter_context(_sandbox(engine, image))
        told |= _of_server(sandbox)
        sandbox.upload(_INSIDE, "/srv/inside")
        try:
            said = sandbox.exec("python3 -B /srv/inside", 120, stdin=json.dumps(told), check=True).stdout
            return Ground(json.loads(said), inodes.changes())
        finally:
            inodes.restore()


@contextmanager
def _host_beside(home: Path, owner: int) -> Iterator[dict[str, Any]]:
    """Canaries, sockets and services, under names of their own and gone afterwards."""
    with ExitStack() as stack:
        try:
            with nobody_else_changes_the_host():
                told = _laid_beside(stack, home, owner)
            yield told
        finally:
            with nobody_else_changes_the_host():
                stack.close()


def _laid_beside(stack: ExitStack, home: Path, owner: int) -> dict[str, Any]:
    name = f"canary-{uuid.uuid4().hex}"
    tops = [Path(top, name) for top in _TOPS if os.access(top, os.W_OK)]
    for top in tops:
        stack.callback(shutil.rmtree, top)
        for below in (".ssh/d/d/d", "d"):
            (top / below).mkdir(parents=True)
    roots = [_canary(top / place, 0) for top in tops for place in ("secret", ".ssh/id", ".ssh/d/d/d/secret")]
    users = [_canary(top / ".ssh/d/d/d/users", owner) for top in tops if top.parent != Path("/root")]
    own = [_canary_of_his_own(top / "own", owner) for top in tops if top.parent != Path("/root")]
    own += [_canary_of_his_own(tops[0] / "many", owner, among=501)]  # that many are hidden as one
    service = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
    abstract.bind(f"\0{name}")
    abstract.listen()
    disk = os.statvfs(os.environ.get("TMPDIR", "/var/tmp"))
    return {
        "roots_canaries": roots,
        "users_canaries": users if owner else [],
        "own_canaries": own,
        "public": _public(stack, tops),
        "abstract": name,
        "unix_sockets": [stack.enter_context(_listen(top / "socket")) for top in tops],
        "pipes": [stack.enter_context(_pipe(top / "pipe")) for top in tops],
        "locks": [stack.enter_context(_lock(top / "d/lock")) for top in tops],
        "host_ports": [service.getsockname()[1]],
        "private": [str(home)],
        "of_image": ["inside"],
        "disk_bytes": disk.f_frsize * disk.f_blocks,
        "storage": ["/var/tmp/fargate-sandbox", "/var/lib/containers", os.environ.get("TMPDIR", "/var/tmp")],
        "memory_mib": _MEMORY_MIB,
    }


def _canary(path: Path, owner: int) -> str:
    path.write_text("a canary that only its owner may read")
    path.chmod(0o600)
    os.chown(path, owner, owner)
    return str(path)


def _canary_of_his_own(top: Path, owner: int, among: int = 1) -> str:
    """Deep in a directory that somebody has made for himself, and shows to everybody."""
    deep = top / "a/b/c/d"
    deep.mkdir(parents=True)
    for number in range(among):
        path = _canary(deep / f"settings{number}", owner)
    for directory in (deep, *deep.parents):
        os.chown(directory, owner, owner)
        if directory == top:
            return path
    raise AssertionError


def _public(stack: ExitStack, tops: list[Path]) -> list[str]:
    """What everybody may read: beside the canaries, and on a disk of its own."""
    places = [top for top in tops if top.parent in (Path("/opt"), Path("/usr/share"))]
    if os.geteuid() == 0:
        disk = places[0] / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=64k", "test", disk], check=True)
        stack.callback(subprocess.run, ["umount", disk], check=True)
        places.append(disk)
    for place in places:
        (place / "public").write_text("for everybody")
    return [str(place / "public") for place in places]


@contextmanager
def _listen(path: Path) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        yield str(path)


@contextmanager
def _pipe(path: Path) -> Iterator[str]:
    os.mkfifo(path)
    path.chmod(0o666)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield str(path)
    os.close(reader)


@contextmanager
def _lock(path: Path) -> Iterator[str]:
    path.touch(0o644)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield str(path)


def _of_engine(engine: EngineProcess) -> dict[str, Any]:
    return {
        "engine_port": port_of(engine),
        "host_pids": [*processes_of(engine.process.pid), os.getpid(), os.getppid()],
        "of_engine": ["pytest_fargate_sandbox.local", "pytest"],
        "engine_places": [str(engine.log), str(Path.home() / ".cache")],
    }


def _of_server(sandbox: EcsFargateSandbox) -> dict[str, Any]:
    assert sandbox.exec_client is not None
    return {
        "server_port": _SERVER_PORT,
        "server_pid": 1,
        "prefix": PREFIX,
        "token": sandbox.exec_client._calls._token,
    }


def _start_neighbour(engine: EngineProcess, image: str) -> dict[str, Any]:
    """A task of somebody else's on the same engine; with where the host has its file."""
    name = f"canary-{uuid.uuid4().hex}"
    argv = {"entryPoint": ["python3", "-c"], "command": [_NEIGHBOUR.replace("NAME", name)]}
    arn = engine.launch(engine.register({**container(), "image": image, **argv}, executionRoleArn=ROLE))
    engine.wait(arn, "RUNNING")
    address = engine.address(arn)
    wait_until(lambda: _answers(address), deadline=20, what="the neighbour's port", longest_pause=0.1)
    # Not Path.glob, which stumbles over directories of others that have just gone.
    files = [path for place in _WHERE_FILES_ARE for path in glob.glob(f"{place}/tmp/{name}")]  # noqa: PTH207
    assert files or os.geteuid(), "the host has the neighbour's file somewhere"
    return {"address": address, "ports": [_NEIGHBOUR_PORT], "files": [*files, f"/tmp/{name}", f"/dev/shm/{name}"]}


def _answers(address: str) -> bool | None:
    try:
        socket.create_connection((address, _NEIGHBOUR_PORT), 5).close()
    except OSError:
        return None
    return True


@contextmanager
def _sandbox(engine: EngineProcess, image: str) -> Iterator[EcsFargateSandbox]:
    network = engine.network()["awsvpcConfiguration"]
    config = EcsFargateConfig(
        cluster="default",
        region=engine.exports["AWS_REGION"],
        endpoint_url=engine.exports["AWS_ENDPOINT_URL"],
        subnets=network["subnets"],
        security_groups=network["securityGroups"],
        execution_role_arn=ROLE,
        image_template=image,
        cpu=str(_CPU),
        memory=str(_MEMORY_MIB),
        ssh_sidecar=SshSidecarConfig(exec_server_port=_SERVER_PORT),
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engine.exports.items():
            patch.setenv(name, value)
        with EcsFargateSandbox(config, task_id="hostile", run_id="hostile") as sandbox:
            sandbox.start()
            yield sandbox

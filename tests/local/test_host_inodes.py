"""Root of a sandbox changes no inode of the host: not its mode, owner, times or attributes, through no mount at all.

Without a user namespace root of a sandbox owns whatever root of the host owns, and needs no capability to chmod it;
only a mount that is read-only stands in between. tests/local/hostile_walk.py tries everything, and what counts is what
the host's inodes say afterwards.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.local.runners.podman.command_runner import PodmanRunner
from tests.components import need
from tests.local import hostile_walk
from tests.local.host_inodes import HostInodes
from tests.local.running_tasks import RunningTasks
from tests.real_podman import debian_image, podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.local.runners.runner_contract import Runner

_IMAGE = "walked"
_WALK = Path(hostile_walk.__file__).read_text(encoding="utf-8")
_USE = """
import errno, os
with open("/dev/null", "r+b") as null:
    assert null.write(b"x") == 1 and null.read() == b""
assert len(os.read(os.open("/dev/urandom", os.O_RDONLY), 8)) == 8
assert os.read(os.open("/dev/zero", os.O_RDWR), 2) == bytes(2)
try:
    os.write(os.open("/dev/full", os.O_WRONLY), b"x")
except OSError as error:
    assert error.errno == errno.ENOSPC
with open("/proc/self/oom_score_adj", "w") as score:
    score.write("500")
assert "500" in open("/proc/self/oom_score_adj").read()
assert "MemTotal" in open("/proc/meminfo").read()
assert "cpu" in open("/proc/stat").read()
assert open("/proc/keys").read() == ""
print("all of it works")
"""
_CHANGE_DESCRIPTORS = """
import os
for number in (0, 1, 2):
    try:
        os.fchmod(number, 0o1666)
    except OSError:
        pass
"""


class Ground:
    """A runner, the image to run on it, and the directories of the host that show in its containers."""

    def __init__(self, runner: Runner, image: str, *trees: str | Path) -> None:
        self.tasks = RunningTasks(runner)
        self.image = image
        self.trees = trees
        runner.pull(image)

    def python(self, *arguments: str, **fields: Any) -> str:
        started = self.tasks.start("python3", "-c", *arguments, image=self.image, **fields)
        end = started.wait()
        assert end.code == 0, started.output[-5000:]
        return started.output


@pytest.fixture(scope="module", params=["namespaces", pytest.param("podman", marks=pytest.mark.root)])
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    make = {"namespaces": _namespaces, "podman": _podman}[request.param]
    ground = make(tmp_path_factory.mktemp("image"))
    yield ground
    ground.tasks.close()
    ground.tasks.runner.close()


def _namespaces(image: Path) -> Ground:
    need("namespaces")
    image.chmod(0o755)
    (image / "walked").mkdir()
    (image / "walked" / "file").write_text("of the image")
    runner = NamespacesRunner(images={_IMAGE: (str(image), "/")}, gate_address=("127.0.0.1", 1))
    return Ground(runner, _IMAGE, image, sys.base_prefix, "/etc", "/usr")


def _podman(_: Path) -> Ground:
    image = debian_image()
    layer = json.loads(podman().run("image", "inspect", image))[0]["GraphDriver"]["Data"]["UpperDir"]
    return Ground(PodmanRunner(images={}, gate_address=("127.0.0.1", 1)), image, layer)


@pytest.fixture
def host(ground: Ground) -> Iterator[HostInodes]:
    host = HostInodes(*ground.trees)
    yield host
    host.restore()


def test_a_hostile_walk_over_every_mount_changes_no_inode_of_the_host(ground: Ground, host: HostInodes) -> None:
    walked = json.loads(ground.python(_WALK))

    assert host.changes() == []
    tried, succeeded = walked["tried"], [tuple(success) for success in walked["succeeded"]]
    assert {"/", "/dev/pts", "/dev/shm"} <= tried.keys()
    assert _count(tried, "/proc") > 1000
    assert _count(tried, "/sys") > 1000 or "/sys" not in tried  # a host that hides part of its own has none for others
    # It does try: where it may, it succeeds.
    assert {operation for _, point, operation, _ in succeeded if point == "/"} >= {"chmod", "truncate", "link"}
    assert [success for success in succeeded if not _is_its_own(*success)] == []


def _count(tried: dict[str, int], top: str) -> int:
    return sum(count for point, count in tried.items() if point.startswith(top))


def _is_its_own(kind: str, point: str, _: str, path: str) -> bool:
    """By what is mounted there: anything else would be seen from outside too."""
    if kind == "proc":  # a mount of its own, with links and processes of its own, and the shared rest
        return path == "/proc" or path.split("/")[2].isdecimal() or Path(path).is_symlink()
    of_podman = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv")
    return kind in ("overlay", "tmpfs", "devpts", "mqueue") or point in of_podman


def test_what_a_program_is_started_with_leads_to_no_inode_of_the_host(ground: Ground, host: HostInodes) -> None:
    ground.python(_CHANGE_DESCRIPTORS)
    task = ground.tasks.open()
    main = ground.tasks.start("sleep", "60", image=ground.image, task=task)
    assert task.run_check("main", ["python3", "-c", _CHANGE_DESCRIPTORS], 30) == 0
    task.stop("main", 0)
    main.wait()
    assert host.changes() == []


def test_devices_and_proc_work_as_ever(ground: Ground) -> None:
    assert ground.python(_USE) == "all of it works\n"

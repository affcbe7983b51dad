"""podman without root, where control groups and devices are root's alone: a user's engine, his tasks and builds."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.local.engine_process import WAIT, EngineProcess
from tests.local.ssm.exec_task import launch
from tests.local.test_codebuild import failed_phase, finished, set_up, start, unmade
from tests.local.unprivileged import SOMEBODY, Somebody
from tests.real_podman import busybox_image

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine(podman_engine: EngineProcess) -> EngineProcess:
    return podman_engine


@pytest.mark.no_root
def test_ecs_exec_enters_a_container_also_where_its_control_groups_are_the_machines(engine: EngineProcess) -> None:
    task = launch(engine, image=busybox_image(), script=WAIT)
    peer = task.run("/bin/sh -c 'id -u; readlink /proc/1/exe'")
    peer.wait_for_end()
    assert peer.output().decode().split() == ["0", "/bin/busybox"]
    engine.stop(task.arn)


@pytest.mark.no_root
@pytest.mark.needs("closed /dev/net/tun")
def test_a_build_whose_steps_can_have_no_network_says_what_is_missing(engine: EngineProcess) -> None:
    build = finished(set_up(engine), start(engine, unmade(), "RUN true"))
    phase, words = failed_phase(build)
    assert phase == "BUILD", words
    assert "exit status 125: without root podman gives a build's steps their network by " in words
    assert "/dev/net/tun cannot be opened on this machine: " in words
    assert words.endswith(")"), "what to do"


_CLOSED = 'touch "$0"; [ ! -e /dev/net/tun ] || mount --bind "$0" /dev/net/tun; exec "$@"'


@pytest.fixture
def somebody() -> Iterator[Somebody]:
    """With a podman of his own, of which a process outlives all that he has it do."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        somebody = Somebody(Path(directory) / "home")
        running = somebody.home / "run"
        running.mkdir(0o700)
        os.chown(running, SOMEBODY, SOMEBODY)
        somebody.environment["XDG_RUNTIME_DIR"] = str(running)
        yield somebody
        for file in running.glob("**/pause.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.mark.root
@pytest.mark.needs("another user", "podman", "namespaces")
def test_it_is_so_for_somebody_with_no_right_at_all(somebody: Somebody) -> None:
    """The tests above. It takes seconds, for no podman has been started there before."""
    tests = ["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", f"tests/local/{Path(__file__).name}"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", _CLOSED, somebody.home.parent / "closed", *somebody.command(*tests)],
        env=somebody.environment | {"CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "2 passed, 1 deselected" in done.stdout, done.stdout

"""Images of directories, through the plugin: early, side by side, once for all workers, one log for all."""

from __future__ import annotations

import os
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import need
from tests.real_podman import busybox_image, remove_images

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugin.conftest import EngineLog, OneRun

TESTS = """
import pytest

@pytest.mark.fargate(environment="one-NAME")
@pytest.mark.parametrize("again", range(2))
def test_one(fargate_sandbox, again):
    assert fargate_sandbox.exec("cat /which").stdout == "one NAME"

@pytest.mark.fargate(environment="fails-NAME")
@pytest.mark.parametrize("again", range(2))
def test_fails(fargate_sandbox, again): pass

@pytest.mark.fargate(environment="empty-NAME")
def test_empty(fargate_sandbox): pass

def test_images(fargate_images):
    assert fargate_images("one-NAME") == fargate_images("one-NAME") != "BASE"

@pytest.mark.fargate(image="BASE")
def test_image(fargate_sandbox):
    assert fargate_sandbox.exec("readlink /bin/ls || readlink -f /bin/sh").stdout.strip().endswith("busybox")

def test_of_this_machine(fargate_sandbox):
    assert fargate_sandbox.exec("cat /etc/os-release").stdout == open("/etc/os-release").read()
"""


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def name() -> Iterator[str]:
    """What the directories of these tests end with; what was built of them goes with the module."""
    name = uuid.uuid4().hex[:10]
    yield name
    remove_images(f"-{name}")


@pytest.fixture(scope="module")
def images(one_run: Callable[..., OneRun], name: str) -> OneRun:
    need("build steps")
    base = busybox_image()
    files = {
        "test_images.py": TESTS.replace("NAME", name).replace("BASE", base),
        f"one-{name}/Dockerfile": f"FROM {base}\nCOPY which /which\n",
        f"one-{name}/which": f"one {name}",
        f"fails-{name}/Dockerfile": f"FROM {base}\nRUN echo no such package; exit 9\n",
        f"empty-{name}/which": "none",
    }
    return one_run(files, ("-n2", "-p", "no:cacheprovider", "-rA"), any_image=True)


def test_each_directory_is_built_once_for_all_workers_and_other_images_run_beside_them(images: OneRun) -> None:
    images.result.assert_outcomes(passed=5, errors=3)
    builds = [line for line in images.log.lines if line.get("operation") == "StartBuild" and line["status"] == 200]
    assert len(builds) == 2
    tasks = [line["t"] for line in images.log.lines if line["kind"] == "task"]
    assert max(build["t"] for build in builds) < min(tasks), "both are begun at collection"
    looked_up = sum(line.get("operation") == "DescribeImages" for line in images.log.lines)
    assert looked_up == 2
    assert images.log.cut_off() == []


def test_a_failed_build_is_an_error_of_each_test_that_needs_it_and_its_log_is_told_by_the_first(images: OneRun) -> None:
    images.result.stdout.fnmatch_lines_random([f"ERROR *::test_fails[[]{again}]*" for again in (0, 1)])
    assert str(images.result.stdout).count("\nno such package") == 1
    images.result.stdout.fnmatch_lines(["*::test_fails[[]?] tells the rest"])


def test_a_directory_without_a_dockerfile_is_told_before_anything_of_it_is_built(images: OneRun, name: str) -> None:
    told = f"*empty-{name}' has no Dockerfile (there is: which); an image is built from a file named Dockerfile in it*"
    images.result.stdout.fnmatch_lines([told])


@pytest.mark.trials("workers", "-n2", "-n0")
def test_ctrl_c_waits_for_no_build_and_leaves_nothing(
    pytester: pytest.Pytester,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_engine_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
    name: str,
    workers: str,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    # Of this test's own: a step that was once let run to its end is known to podman, and done at once.
    dockerfile = f"FROM {busybox_image()}\nLABEL test={name}\nRUN sleep 300\n"
    (pytester.mkdir(f"one-{name}") / "Dockerfile").write_text(dockerfile)
    pytester.makepyfile(TESTS.replace("NAME", name))
    run = started(workers, "-k", "test_one", "--fargate-prelaunch=1")
    wait_until(lambda: shared_engine_log.calls("StartBuild") or None, deadline=40, what="the build")
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(90) == 2
    wait_until(lambda: shared_engine_log.calls("StopBuild") or None, deadline=60, what="its end, in the log")
    output = (pytester.path / "output.txt").read_text()
    assert "Traceback" not in output
    assert "Exception in thread" not in output
    assert list(temporary.glob("fargate-sandbox-????????")) == []
    assert list((tmp_path / "cache").glob("**/ledger/*.jsonl")) == []
    assert shared_engine_log.cut_off() == []

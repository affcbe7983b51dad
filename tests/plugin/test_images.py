"""Images of directories, through the plugin: early, side by side, once for all workers, one log for all."""

from __future__ import annotations

import os
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.plugin.one_process import run_pytest
from tests.real_podman import busybox_image, remove_images

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugin.conftest import EngineLog

TESTS = """
import pytest

@pytest.mark.fargate(environment="one-NAME")
def test_one(fargate_sandbox):
    assert fargate_sandbox.exec("cat /which").stdout == "one"

@pytest.mark.fargate(environment="two-NAME")
@pytest.mark.parametrize("again", range(2))
def test_two(fargate_sandbox, again):
    assert fargate_sandbox.exec("cat /which").stdout == "two"

def test_images(fargate_images):
    assert fargate_images("one-NAME") == fargate_images("one-NAME") != fargate_images("two-NAME")
"""

OTHERS = """
import pytest

@pytest.mark.fargate(image="BASE")
def test_image(fargate_sandbox):
    assert fargate_sandbox.exec("readlink /bin/ls || readlink -f /bin/sh").stdout.strip().endswith("busybox")

def test_of_this_machine(fargate_sandbox):
    assert fargate_sandbox.exec("cat /etc/os-release").stdout == open("/etc/os-release").read()
"""


@pytest.fixture(autouse=True)
def name(pytester: pytest.Pytester) -> Iterator[str]:
    """What the directories ``one-…`` and ``two-…`` end with; what was built of them goes with the test."""
    name, base = uuid.uuid4().hex[:10], busybox_image()
    for which in ("one", "two"):
        lines = [f"FROM {base}", f"LABEL name={name}", f"RUN printf {which} > /which"]
        (pytester.mkdir(f"{which}-{name}") / "Dockerfile").write_text("\n".join(lines))
    pytester.makepyfile(TESTS.replace("NAME", name))
    yield name
    for which in ("one", "two"):
        remove_images(f"/fargate-sandbox:{which}-{name}")


def test_each_directory_is_built_once_for_all_workers_and_other_images_run_beside_them(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    pytester.makepyfile(test_others=OTHERS.replace("BASE", busybox_image()))
    run_pytest(pytester, "-n2", "-p", "no:cacheprovider").assert_outcomes(passed=6)
    assert engine_log.engines_started() == 1
    builds = [line for line in engine_log.lines if line.get("operation") == "StartBuild" and line["status"] == 200]
    assert len(builds) == 2
    tasks = [line["t"] for line in engine_log.lines if line["kind"] == "task"]
    assert max(build["t"] for build in builds) < min(tasks), "both are begun at collection"
    looked_up = sum(line.get("operation") == "DescribeImages" for line in engine_log.lines)
    assert looked_up == 2


def test_a_failed_build_is_an_error_of_each_test_that_needs_it_with_one_log(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, name: str
) -> None:
    (pytester.path / f"two-{name}" / "Dockerfile").write_text(
        f"FROM {busybox_image()}\nRUN echo no such package; exit 9\n"
    )
    result = run_pytest(pytester, "-n2", "-p", "no:cacheprovider", "-k", "test_one or test_two")
    result.assert_outcomes(passed=1, errors=2)
    assert str(result.stdout).count("\nno such package") == 2
    assert shared_engine_log.calls("StartBuild") == 2


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
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
    (pytester.path / f"one-{name}" / "Dockerfile").write_text(f"FROM {busybox_image()}\nRUN sleep 300\n")
    run = started(workers, "-k", "test_one", "--fargate-prelaunch=1")
    wait_until(lambda: shared_engine_log.calls("StartBuild") or None, deadline=40, what="the build")
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(30) == 2
    wait_until(lambda: shared_engine_log.calls("StopBuild") or None, deadline=10, what="its end, in the log")
    output = (pytester.path / "output.txt").read_text()
    assert "Traceback" not in output
    assert "Exception in thread" not in output
    assert list(temporary.glob("fargate-sandbox-????????")) == []
    assert list((tmp_path / "cache").glob("**/ledger/*.jsonl")) == []
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_a_directory_without_a_dockerfile_is_told_before_anything_is_built(
    pytester: pytest.Pytester, name: str
) -> None:
    (pytester.path / f"one-{name}" / "Dockerfile").unlink()
    result = run_pytest(pytester, "-p", "no:cacheprovider", "-k", "test_one")
    result.assert_outcomes(errors=1, deselected=3)
    result.stdout.fnmatch_lines([f"*one-{name}' is empty; an image is built from a file named Dockerfile in it*"])

"""The text that CodeBuild runs, run: as far as that goes without an account, with podman under docker's name."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import uuid
from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_fargate_sandbox.providers.images import buildspec
from tests.real_podman import busybox_image, no_registry, podman

if TYPE_CHECKING:
    from pathlib import Path

PHASES = {name: phase["commands"] for name, phase in yaml.safe_load(buildspec.BUILDSPEC)["phases"].items()}
_LIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n[engine]\nruntime = "{runtime}"\n'


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """``docker`` is podman, told in a file of its own what this machine wants."""
    podman()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(str(shutil.which("podman")))
    conf = tmp_path / "containers.conf"
    conf.write_text(_LIMITS.format(runtime="runc" if shutil.which("runc") else "crun"))
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "CONTAINERS_CONF": str(conf),
        buildspec.IMAGE: f"localhost/built-{uuid.uuid4().hex[:10]}:1",
        buildspec.SOURCE_IMAGE: "",
        buildspec.DOCKERHUB_SECRET: "",
        buildspec.PLATFORM: "linux/amd64",
    }


def run(commands: list[str], environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """One shell for all of them, as CodeBuild has it; no pause between attempts."""
    script = "sleep() { :; }\n" + "\n".join(commands)
    return subprocess.run(
        ["bash", "-ec", script], env=environment, cwd=directory, capture_output=True, text=True, check=False
    )


def packed(directory: Path, *lines: str) -> None:
    (directory / "Dockerfile").write_text("\n".join([f"FROM {busybox_image()}", *lines]))
    with tarfile.open(directory / "context.tar", "w") as archive:
        archive.add(directory / "Dockerfile", "Dockerfile")


def unpack() -> list[str]:
    return [command for command in PHASES["pre_build"] if "context.tar" in command]


def test_every_command_is_proper_shell() -> None:
    for commands in PHASES.values():
        for command in commands:
            done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_the_region_is_read_from_the_registry(environment: dict[str, str], tmp_path: Path) -> None:
    environment[buildspec.IMAGE] = "123456789012.dkr.ecr.eu-west-3.amazonaws.com/a/b:c"
    reading = PHASES["pre_build"][:2]
    done = run([*reading, 'echo "$registry $region"'], environment, tmp_path)
    assert done.stdout == "123456789012.dkr.ecr.eu-west-3.amazonaws.com eu-west-3\n"


@pytest.mark.needs("build steps")
def test_a_context_is_unpacked_and_built_under_the_name_that_is_pushed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    packed(tmp_path, "RUN echo built")
    done = run([*unpack(), *PHASES["build"]], environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert podman().succeeds("image", "inspect", environment[buildspec.IMAGE])
    podman().succeeds("rmi", "-f", environment[buildspec.IMAGE])


def test_a_build_is_tried_three_times_and_then_fails(environment: dict[str, str], tmp_path: Path) -> None:
    packed(tmp_path, "NONSENSE")
    done = run([*unpack(), *PHASES["build"]], environment, tmp_path)
    assert done.returncode != 0
    assert done.stdout.count("failed; trying again") == 2
    assert (done.stdout + done.stderr).count("NONSENSE") >= 3


def test_nothing_is_pushed_after_a_failed_build(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(PHASES["post_build"], {**environment, "CODEBUILD_BUILD_SUCCEEDING": "0"}, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mirror_is_pulled_and_tagged(environment: dict[str, str], tmp_path: Path) -> None:
    with no_registry() as host:
        environment[buildspec.SOURCE_IMAGE] = f"{host}/nothing:1"
        done = run([*unpack(), *PHASES["build"]], environment, tmp_path)
    assert done.returncode != 0
    assert done.stderr.count(f"{host}/nothing:1") >= 3
    assert not (tmp_path / "context").exists()

"""Images: built once for everybody, packed quickly, and started by podman; needs podman and a static busybox."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, at_most, medians_in_turn
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.place.local_cluster import local_engine
from pytest_fargate_sandbox.providers.images.build_context import ArchiveReader, context_entries
from pytest_fargate_sandbox.providers.images.content_tag import build_tag
from pytest_fargate_sandbox.providers.images.image_builder import ImageBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
WORKERS, DIRECTORIES, FILES = 16, 3, 10_000
_PODMAN = ("podman", *(("--runtime", "runc") if shutil.which("runc") else ()))
_LIMITS = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:4096")
_TEST = """
import pytest
@pytest.mark.parametrize("number", range({workers}))
def test_image(number, fargate_images):
    for directory in {directories!r}:
        assert ":" in fargate_images(directory)
"""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        yield from packing(folder)
        with podman_engine(folder):
            yield from once_for_everybody(folder)
            yield from start_of_a_real_image()


@contextmanager
def podman_engine(folder: Path) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(
        FARGATE_ENGINE_DIR=str(folder / "engine"),
        FARGATE_ENGINE_OPTIONS="--runner podman",
        FARGATE_ENGINE_LOG=str(folder / "log.jsonl"),
        XDG_CACHE_HOME=str(folder / "cache"),
    )
    try:
        local_engine()  # this process holds it, so that it stays between the runs
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# --- hashing and packing --------------------------------------------------------------------------------------------
def packing(folder: Path) -> Iterator[Figure]:
    tree = folder / "tree"
    chooser = random.Random(1)
    for number in range(FILES):
        file = tree / f"d{number % 100}" / f"file{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(chooser.randbytes(chooser.randint(200, 4000)))

    def ours() -> None:
        build_tag(tree, "bench", "X86_64")
        _packed(tree)

    def by_hand() -> None:
        subprocess.run(["sh", "-c", 'tar c "$0" 2>/dev/null | sha256sum', str(tree)], check=True, capture_output=True)

    our_time, floor = medians_in_turn(7, ours, by_hand)
    detail = f"{our_time:.3f} s and {floor:.3f} s"
    yield at_most(f"hash and pack {FILES:,} files ÷ tar c and sha256sum", our_time / floor, 4.0, detail=detail)

    big = folder / "big"
    big.mkdir()
    with (big / "data").open("wb") as file:
        file.truncate(1024 * MIB)
    grown = subprocess.check_output([sys.executable, "-c", _MEMORY, str(big)], text=True)
    yield at_most("memory grown by hashing and packing 1 GiB", float(grown), 32, " MiB")


def _packed(tree: Path) -> int:
    size = 0
    with ArchiveReader(context_entries(tree)) as reader:
        while data := reader.read(MIB):
            size += len(data)
    return size


_MEMORY = """
import sys
from pathlib import Path
from benchmarks._memory import our_peak
from benchmarks.images import _packed, build_tag
before = our_peak()
build_tag(Path(sys.argv[1]), "bench", "X86_64")
assert _packed(Path(sys.argv[1])) > 1 << 30
print(our_peak() - before)
"""


# --- once for everybody ---------------------------------------------------------------------------------------------
def once_for_everybody(folder: Path) -> Iterator[Figure]:
    project = folder / "project"
    project.mkdir()
    directories = [str(_environment(project / f"env{number}")) for number in range(DIRECTORIES)]
    (project / "test_images.py").write_text(_TEST.format(workers=WORKERS, directories=directories))
    asked = f"{WORKERS} xdist workers, {DIRECTORIES} directories"
    first = _run(project)
    yield at_most("builds in the first run", first["builds"], DIRECTORIES, detail=asked)
    second = _run(project)
    yield at_most("builds in the second run", second["builds"], 0, detail=asked)
    yield at_most("ECR calls a tag in the second run", second["ECR calls"] / DIRECTORIES, 1, detail=asked)
    for name in _built():
        subprocess.run([*_PODMAN, "rmi", "-f", name], check=False, capture_output=True)


def _environment(directory: Path) -> Path:
    directory.mkdir()
    shutil.copy(str(shutil.which("busybox")), directory / "busybox")
    lines = ["FROM scratch", "COPY busybox /bin/sh", f"LABEL benchmark={directory}", 'CMD ["/bin/sh"]']
    (directory / "Dockerfile").write_text("\n".join(lines) + "\n")
    return directory


def _run(project: Path) -> dict[str, int]:
    log = Path(os.environ["FARGATE_ENGINE_LOG"])
    known, lines = len(_builds()), len(log.read_text().splitlines())
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", str(WORKERS), "-p", "no:cacheprovider", str(project)],
        cwd=project,
        check=True,
        capture_output=True,
    )
    calls = [json.loads(line) for line in log.read_text().splitlines()[lines:]]
    return {
        "builds": len(_builds()) - known,
        "ECR calls": sum(call.get("service") == "ecr" for call in calls),
    }


def _builds() -> list[str]:
    ids: list[str] = local_engine().connect().call("codebuild", "ListBuilds")["ids"]
    return ids


def _built() -> list[str]:
    aws = local_engine().connect()
    images = aws.call("ecr", "ListImages", repositoryName="fargate-sandbox")["imageIds"]
    return [f"123456789012.dkr.ecr.us-east-1.amazonaws.com/fargate-sandbox:{image['imageTag']}" for image in images]


# --- a real image ---------------------------------------------------------------------------------------------------
def start_of_a_real_image() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        directory = _environment(Path(scratch) / "start")
        target = local_engine()
        image = ImageBuilder.ensure_image_built(
            cfg=EcsFargateConfig(cluster="local", environment_dir=str(directory)),
            environment_name="start",
            aws=target.connect(),
        )
    numbers = iter(range(1000))

    def ours() -> None:
        cfg = EcsFargateConfig(
            cluster="local", cpu="1024", memory="2048", image_template=image,
            ssh_sidecar=SshSidecarConfig(exec_server_port=19542),
        )  # fmt: skip
        sandbox = EcsFargateSandbox(cfg, task_id=f"start-{next(numbers)}", run_id="benchmark")
        sandbox.start()
        stopping.append(sandbox)

    def by_hand() -> None:
        infra, main = (f"bench-{kind}-{next(numbers)}" for kind in ("infra", "main"))
        command = (image, "/bin/sh", "-c", "while :; do sleep 1; done")
        run = [*_PODMAN, "run", "-d", *_LIMITS]
        subprocess.run([*run, "--name", infra, "--network", "none", *command], check=True, capture_output=True)
        joined = ["--name", main, "--network", f"container:{infra}"]
        subprocess.run([*run, *joined, *command], check=True, capture_output=True)
        started.extend((main, infra))

    stopping: list[EcsFargateSandbox] = []
    started: list[str] = []
    try:
        our_time, floor = medians_in_turn(5, ours, by_hand)
    finally:
        for sandbox in stopping:
            sandbox.stop()
        for name in started:
            subprocess.run([*_PODMAN, "rm", "-f", "-t", "0", name], check=False, capture_output=True)
        subprocess.run([*_PODMAN, "rmi", "-f", image], check=False, capture_output=True)
    detail = f"{our_time:.2f} s, until the first command can run, and {floor:.2f} s"
    yield at_most("start on podman, less podman run of the same by hand", our_time - floor, 1.5, " s", detail)

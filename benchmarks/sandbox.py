"""One sandbox: its start, its stop, its commands and its files, with OpenSSH and with the engine's own sidecar."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._raw_ssh import OpenSsh
from benchmarks.figures import Figure, at_least, at_most, medians_in_turn, seconds
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, ExecClient, SshSidecarConfig
from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.server.bundle import server_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PORT = 19542
MIB = 1024 * 1024
BIG = 256 * MIB
IS_ROOT = os.geteuid() == 0
OPENSSH = "openssh"
"""The engine's name for the machine's own root, where the sidecar's script finds OpenSSH's sshd."""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        log = folder / "engine.log"
        with engine(folder / "engine", FARGATE_ENGINE_OPTIONS=f"--image {OPENSSH}=/", FARGATE_ENGINE_LOG=str(log)):
            with sandbox("warm") as warm:
                warm.exec("true")
            yield from start_and_stop(log)
            for sidecar in (OPENSSH, None):
                with sandbox("exec", sidecar) as running:
                    yield from commands(running, sidecar)
                    yield from files(running, sidecar, folder)
        yield from delayed_start(folder, delay=3.0)
    yield from import_cost()


# --- where it runs --------------------------------------------------------------------------------------------------
@contextmanager
def engine(directory: Path, **environment: str) -> Iterator[None]:
    """Sandboxes made meanwhile use an engine of their own in ``directory``; it ends with this process."""
    before = dict(os.environ)
    os.environ.update(environment, FARGATE_ENGINE_DIR=str(directory))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def config(sidecar_image: str | None = None) -> EcsFargateConfig:
    return EcsFargateConfig(
        cluster="local", cpu="1024", memory="2048",
        ssh_sidecar=SshSidecarConfig(exec_server_port=PORT, image=sidecar_image),
    )  # fmt: skip


@contextmanager
def sandbox(task_id: str, sidecar_image: str | None = None) -> Iterator[EcsFargateSandbox]:
    with EcsFargateSandbox(config(sidecar_image), task_id=task_id, run_id="benchmark") as running:
        running.start()
        yield running


@contextmanager
def bare_server(folder: Path) -> Iterator[ExecClient]:
    """The exec server without a container and without a tunnel: the floor under every command."""
    token, port = secrets.token_hex(16), 29542
    entry_point, command = server_command("image")
    digest = hashlib.sha256(token.encode()).hexdigest()
    process = subprocess.Popen(
        [*entry_point, *command],
        env={**os.environ, names.ENV_SERVER_PORT: str(port), names.ENV_TOKEN_SHA256: digest, "TMPDIR": str(folder)},
    )
    client = ExecClient(port=port, token=token)
    try:
        client.wait_ready(10.0)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait()


# --- start and stop -------------------------------------------------------------------------------------------------
def start_and_stop(log: Path) -> Iterator[Figure]:
    starts, stops, bare = [], [], []
    for number in range(7):
        one = EcsFargateSandbox(config(), task_id=f"start-{number}", run_id="benchmark")
        starts.append(seconds(one.start))
        bare.append(bare_launch(one))
        stops.append(seconds(one.stop))
    start, launch = statistics.median(starts), statistics.median(bare)
    yield at_most("start()", start, 0.6 if IS_ROOT else 1.2, " s", "root" if IS_ROOT else "rootless")
    yield at_most("start() against a bare launch", start / launch, 3, " x", f"RunTask to RUNNING: {launch:.3f} s")
    yield at_most("stop()", statistics.median(stops), 0.3, " s")
    yield from calls(log)


def bare_launch(like: EcsFargateSandbox) -> float:
    """RunTask of the same containers until ECS calls the task RUNNING: no tunnel, no poller, no client."""
    ecs = like.aws.client("ecs")
    described = ecs.describe_tasks(cluster="local", tasks=[like.task_arn])["tasks"][0]
    request = {
        "cluster": "local",
        "taskDefinition": described["taskDefinitionArn"],
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": list(like.cfg.subnets)}},
        "overrides": {"containerOverrides": described["overrides"]["containerOverrides"]},
    }
    began = time.perf_counter()
    arn = ecs.run_task(**request)["tasks"][0]["taskArn"]

    def runs() -> bool | None:
        return ecs.describe_tasks(cluster="local", tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING" or None

    wait_until(runs, deadline=10, what="the bare launch", first_pause=0.002, longest_pause=0.01)
    took = time.perf_counter() - began
    ecs.stop_task(cluster="local", task=arn)
    return took


def calls(log: Path) -> Iterator[Figure]:
    """Control-plane calls of one sandbox of a new kind, and of one more of it, read off the engine's own log."""
    free = ("DescribeTasks", "GetLogEvents")
    for name, bound in (("first", 5), ("second", 3)):
        before = log.stat().st_size
        cfg = EcsFargateConfig(
            cluster="local", cpu="512", memory="1024", ssh_sidecar=SshSidecarConfig(exec_server_port=PORT)
        )
        with EcsFargateSandbox(cfg, task_id=name, run_id="benchmark") as one:
            one.start()
        with log.open() as lines:
            lines.seek(before)
            made = [row for row in map(json.loads, lines) if row["kind"] == "call" and row["operation"] not in free]
        operations = [row["operation"] for row in made]
        yield at_most(f"calls of the {name} sandbox of a kind", len(made), bound, "", ", ".join(operations))


def delayed_start(folder: Path, delay: float) -> Iterator[Figure]:
    with engine(folder / "slow", FARGATE_ENGINE_LAUNCH_DELAY=str(delay)):
        taken = []
        for number in range(3):
            one = EcsFargateSandbox(config(), task_id=f"slow-{number}", run_id="benchmark")
            taken.append(seconds(one.start))
            one.stop()
    yield at_most(f"start() with a launch delay of {delay:g} s", min(taken[1:]), delay + 1, " s")


# --- commands -------------------------------------------------------------------------------------------------------
def commands(running: EcsFargateSandbox, sidecar: str | None) -> Iterator[Figure]:
    named = sidecar or "own"
    with tempfile.TemporaryDirectory() as folder, bare_server(Path(folder)) as floor:
        through, bare, tails = [], [], []
        for _ in range(3):
            samples, floors = paired(300, lambda: running.exec("true"), lambda: floor.exec("true"))
            through.append(statistics.median(samples))
            bare.append(statistics.median(floors))
            tails.append(statistics.quantiles(samples, n=20)[18] / statistics.median(samples))
        ratio = statistics.median(a / b for a, b in zip(through, bare, strict=True))
        local = statistics.median(seconds(lambda: subprocess.run(["true"], check=True)) for _ in range(50))
        ours, theirs, least = (1000 * each for each in (statistics.median(through), statistics.median(bare), local))
        detail = f"{ours:.2f} ms against {theirs:.2f} ms; subprocess.run {least:.2f} ms"
        yield at_most(f"exec against loopback HTTP, sidecar {named}", ratio, 1.6 if sidecar else 3, " x", detail)
        yield at_most(f"exec p95 against its median, sidecar {named}", min(tails), 3, " x", "best of 3 runs")
        rate, floor_rate = (throughput(act) for act in (lambda: running.exec("true"), lambda: floor.exec("true")))
    bound = 500 if sidecar else 250
    yield at_least(f"exec from 16 threads, sidecar {named}", rate, bound, "/s", f"loopback HTTP {floor_rate:.0f}/s")


def paired(count: int, *acts: Callable[[], object]) -> list[list[float]]:
    """Samples of each act in seconds, the acts in turn; the first few of each are warm-up."""
    for act in acts:
        for _ in range(20):
            act()
    taken: list[list[float]] = [[] for _ in acts]
    for _ in range(count):
        for samples, act in zip(taken, acts, strict=True):
            samples.append(seconds(act))
    return taken


def throughput(act: Callable[[], object], threads: int = 16, count: int = 1600) -> float:
    """The best of three: what it can do, not what else the machine did."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: act(), range(threads * 4)))
        return max(count / seconds(lambda: list(pool.map(lambda _: act(), range(count)))) for _ in range(3))


# --- files ----------------------------------------------------------------------------------------------------------
def files(running: EcsFargateSandbox, sidecar: str | None, folder: Path) -> Iterator[Figure]:
    named = sidecar or "own"
    big, back = folder / "big", folder / "back"
    with big.open("wb") as file:
        for _ in range(BIG // MIB):
            file.write(os.urandom(MIB))
    with OpenSsh(folder) as raw:
        up, raw_up = medians_in_turn(3, lambda: running.upload(big, "/tmp/big"), lambda: raw.upload(big, "big"))
        down, raw_down = medians_in_turn(
            3, lambda: running.download("/tmp/big", back), lambda: raw.download("big", back)
        )
    share = 0.6 if sidecar else 1 / 3
    for verb, ours, theirs in (("upload", up, raw_up), ("download", down, raw_down)):
        detail = f"{BIG / MIB / ours:.0f} MiB/s against {BIG / MIB / theirs:.0f} MiB/s of raw paramiko"
        yield at_least(f"{verb} of 256 MiB against raw paramiko, sidecar {named}", theirs / ours, share, " x", detail)
    yield from memory_growth(named, big, back)
    many = folder / f"many-{named}"
    many.mkdir()
    for number in range(1000):
        (many / f"file-{number}").write_bytes(os.urandom(1024))
    [taken] = medians_in_turn(3, lambda: running.upload(many, "/tmp/many"))
    yield at_most(f"upload of 1,000 files of 1 KiB, sidecar {named}", taken, 0.5, " s")


def memory_growth(named: str, big: Path, back: Path) -> Iterator[Figure]:
    command = [sys.executable, "-m", "benchmarks._memory", named, str(big), str(back)]
    grown = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for side, growth in grown.items():
        yield at_most(f"memory grown by 256 MiB up and down, {side}, sidecar {named}", growth, 64, " MiB")


# --- what it costs those who do not use it --------------------------------------------------------------------------
def import_cost() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        Path(folder, "pytest.ini").write_text("[pytest]\n")

        def pytest(*more: str) -> Callable[[], Any]:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more]
            return lambda: subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        with_it, without = medians_in_turn(21, pytest(), pytest("-p", "no:fargate_sandbox"))
    yield at_most(
        "pytest where nobody uses the plugin", 1000 * (with_it - without), 15, " ms", f"of {1000 * without:.0f} ms"
    )

"""Commands that are cancelled all at once: how long until nothing of their trees is left in the sandbox."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from benchmarks.figures import Figure, at_most
from benchmarks.pytest_face import WarmEngine
from pytest_fargate_sandbox import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.async_sandbox import AsyncSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = 100
ROUNDS = 3
TREE = "sleep 1000 & sleep 1000; true"
COUNT = """n=0
for each in /proc/[0-9]*/comm; do read -r name < $each && [ "$name" = sleep ] && n=$((n + 1)); done 2> /dev/null
echo $n
"""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as folder, WarmEngine.started(Path(folder) / "e", 0.0):
        taken = anyio.run(_rounds)
    detail = f"of {COMMANDS} commands with two processes each; the median of {ROUNDS} rounds"
    yield at_most("cancelled commands: all trees gone", statistics.median(taken), 1, " s", detail)


async def _rounds() -> list[float]:
    config = EcsFargateConfig(cluster="local", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
    async with AsyncSandbox(config, task_id="cancelled", run_id="bench", threads=COMMANDS + 10) as sandbox:
        await sandbox.start()
        return [await _round(sandbox) for _ in range(ROUNDS)]


async def _round(sandbox: AsyncSandbox) -> float:
    idle = await _sleeping(sandbox)
    async with anyio.create_task_group() as group:
        for _ in range(COMMANDS):
            group.start_soon(sandbox.exec, TREE)
        while await _sleeping(sandbox) < idle + 2 * COMMANDS:
            await anyio.sleep(0.05)
        began = time.monotonic()
        group.cancel_scope.cancel()
    while await _sleeping(sandbox) > idle:
        pass
    return time.monotonic() - began


async def _sleeping(sandbox: AsyncSandbox) -> int:
    return int((await sandbox.exec(COUNT)).stdout)

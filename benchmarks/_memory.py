"""How much a transfer makes each side grow: ``python -m benchmarks._memory SIDECAR|own BIG-FILE COPY`` prints JSON.

A process of its own, since a peak cannot be forgotten.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.sandbox import sandbox

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateSandbox


def our_peak() -> int:
    # Not getrusage: a process begins with the peak of the one that started it.
    return _peak(Path("/proc/self/status").read_text())


def server_peak(running: EcsFargateSandbox) -> int:
    return _peak(running.exec("cat /proc/1/status", check=True).stdout)


def _peak(status: str) -> int:
    """MiB of the "high water mark" of resident memory."""
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def main(sidecar: str, big: str, back: str) -> None:
    with sandbox("memory", None if sidecar == "own" else sidecar) as running:
        running.write_file("/tmp/small", b"x")
        running.read_file("/tmp/small")
        ours, server = our_peak(), server_peak(running)
        running.upload(big, "/tmp/big")
        running.download("/tmp/big", back)
        print(json.dumps({"our side": our_peak() - ours, "the server": server_peak(running) - server}))


if __name__ == "__main__":
    main(*sys.argv[1:])

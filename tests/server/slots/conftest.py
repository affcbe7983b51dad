"""Servers in plain podman: its own profile lets namespaces through, which Docker's and Fargate's refuse."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.names import ENV_SERVER_PORT, ENV_TOKEN_SHA256
from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot, LeaseSlot, OpenSlots, ResetSlot, SlotStates
from tests.components import need
from tests.exec_server_process import ExecServerProcess
from tests.real_podman import debian_image, podman

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

_MANY_OPEN = (
    "python3",
    "-c",
    "import os, sys; [os.dup2(0, each) for each in range(3, 1500)]; os.execvp(sys.argv[1], sys.argv[1:])",
)


@pytest.fixture(scope="package")
def in_podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecClient]:
    """With two slots of isolation "user", a small disk, more files open than ``select`` knows, and no filter."""
    small = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=1000,mode=1777", "none", small], check=True)
    options = ["--volume", f"{small}:/small", "--security-opt", "seccomp=unconfined"]
    try:
        with server_in_podman(tmp_path_factory.mktemp("server"), *options, inside=_MANY_OPEN) as server:
            server.client.ask(OpenSlots(count=2, isolation="user"), SlotStates)
            yield server.client
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


@pytest.fixture
def tenants(in_podman: ExecClient) -> Iterator[tuple[ExecClient, ExecClient]]:
    leases = [secrets.token_hex(8) for _ in range(2)]
    one, other = (in_podman.in_slot(lease, in_podman.ask(LeaseSlot(lease=lease), LeasedSlot).home) for lease in leases)
    yield one, other
    for lease in leases:
        in_podman.ask(ResetSlot(lease=lease), Nothing)  # also where another has taken it


@contextmanager
def server_in_podman(directory: Path, *options: str, inside: Sequence[str] = ()) -> Iterator[ExecServerProcess]:
    """It knows of slots already. ``inside`` is a command in there that runs another."""
    need("podman")
    name = f"fargate-sandbox-test-{secrets.token_hex(4)}"
    named = [part for each in (ENV_SERVER_PORT, ENV_TOKEN_SHA256) for part in ("--env", each)]
    run = ["podman", "run", "--rm", "--name", name, "--network", "host", "--pids-limit", "1000"]
    run += [*podman().ulimit_options(()), *named, *options]
    entry = ["--entrypoint", "", debian_image(), *inside]
    server = ExecServerProcess(directory, environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, inside=[*run, *entry])
    try:
        server.client.teach("slots.slot_verbs")
        yield server
    finally:
        server.close()
        podman().succeeds("rm", "--force", "--time", "0", name)

"""Servers in plain podman: its own profile lets namespaces through, which Docker's and Fargate's refuse."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import ENV_SERVER_PORT, ENV_TOKEN_SHA256
from tests.components import need
from tests.exec_server_process import ExecServerProcess
from tests.real_podman import debian_image, podman

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient


@contextmanager
def server_in_podman(directory: Path, *options: str) -> Iterator[ExecClient]:
    """It knows of slots already."""
    need("podman")
    name = f"fargate-sandbox-test-{secrets.token_hex(4)}"
    named = [part for each in (ENV_SERVER_PORT, ENV_TOKEN_SHA256) for part in ("--env", each)]
    run = ["podman", "run", "--rm", "--name", name, "--network", "host", "--pids-limit", "1000"]
    run += [*podman().ulimit_options(()), *named, *options]
    entry = ["--entrypoint", "", debian_image()]
    server = ExecServerProcess(directory, environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, inside=[*run, *entry])
    try:
        server.client.teach("slots.slot_verbs")
        yield server.client
    finally:
        server.close()
        podman().succeeds("rm", "--force", "--time", "0", name)

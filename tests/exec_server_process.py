"""The real exec server, started on this machine exactly as a container starts it, and a sandbox around it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_fargate_sandbox.leaves.names import ENV_SERVER_PORT, ENV_TOKEN_SHA256
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.slots.machine_slots import MachineSlots
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals
from pytest_fargate_sandbox.sandbox.transfers import upload_directly
from pytest_fargate_sandbox.sandbox.workspace_files import WorkspaceFiles
from pytest_fargate_sandbox.server import bundle
from pytest_fargate_sandbox.server.bundle import server_command
from tests.free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from pytest_fargate_sandbox.conformance import Behaviour
    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.process import Process

T = TypeVar("T")


@contextlib.contextmanager
def altered_source(*lessons: str, **constants: int) -> Iterator[None]:
    """Servers that start meanwhile have other values of these constants, and know these lessons from the start."""
    source = zlib.decompress(base64.b64decode(bundle.shipped_source(*lessons))).decode()
    for name, value in constants.items():
        source, count = re.subn(rf"^{name}=.*$", f"{name} = {value}", source, flags=re.MULTILINE)
        assert count == 1, name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "shipped_source", lambda *_: base64.b64encode(zlib.compress(source.encode())).decode())
        yield


class ExecServerProcess:
    """A server in a process of its own; ``client`` talks to it."""

    def __init__(
        self,
        directory: Path,
        python: str = "python3",
        environment: dict[str, str] | None = None,
        uid: int | None = None,
        *,
        runtime: str = "image",
        inside: Sequence[str] = (),
        lessons: Sequence[str] = (),
    ) -> None:
        """``inside`` is a command that runs another in some other place."""
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.directory = directory
        entry_point, command = server_command(runtime, *lessons)
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        variables = {
            # Without /usr/local/bin, where a server run by root would put a link to `python`: this is no container.
            "PATH": os.pathsep.join([str(Path(python).parent), "/usr/bin:/bin"]),
            "HOME": str(directory),
            "TMPDIR": str(directory),
            ENV_SERVER_PORT: str(self.port),
            ENV_TOKEN_SHA256: digest,
            **(environment or {}),
        }
        somebody: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        # As in a container, also where these tests run under nohup, or in the background of a script.
        heard = [str(shutil.which("env")), "--default-signal=HUP,INT,QUIT"]
        self.process = subprocess.Popen(
            [*heard, *inside, *entry_point, *command], env=variables, cwd=directory, **somebody
        )
        self.client = ExecClient(port=self.port, token=self.token)
        try:
            self.client.wait_ready(60, self._still_alive)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _still_alive(self) -> None:
        code = self.process.poll()
        assert code is None, f"the exec server ended with {code}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def close(self) -> int:
        """End it as ECS would; its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()


def hold_a_terminal(client: ExecClient, command: list[str] | None = None) -> None:
    """A shell that lives on, another size, and the end of it, on the server of this client."""
    terminal = OpenTerminals().open(client, Unguarded(), "main", 80, 24, command, env=None, user=None, cwd="/")
    try:
        assert terminal.run("HERE=there; (exit 7)").return_code == 7
        terminal.resize(100, 30)
        assert terminal.run("echo $HERE; test -t 0 && echo on a terminal").stdout == "there\non a terminal\n"
    finally:
        terminal.close()
    assert not terminal.is_alive


class LoopbackSandbox(WorkspaceFiles):
    """The public methods of a sandbox, over a server on this machine."""

    def __init__(self, client: ExecClient) -> None:
        self.client = client

    def exec(
        self, command: str | Sequence[str], timeout_sec: float = 180, *, check: bool = False, **options: Any
    ) -> ExecResult:
        result = self.client.exec(command, timeout=timeout_sec, **options)
        return result.check() if check else result

    def spawn(self, command: str | Sequence[str], timeout_sec: float | None = None, **options: Any) -> Process:
        return self.client.spawn(command, timeout=timeout_sec, **options)

    def upload(self, local_path: str | PathLike[str], remote_path: str, **terms: Any) -> None:
        self._on_terms(lambda client: upload_directly(client, Path(local_path), remote_path), **terms)

    def download(self, remote_path: str, local_path: str | PathLike[str], **terms: Any) -> None:
        self._on_terms(lambda client: client.download_to(remote_path, Path(local_path)), **terms)

    def _through(self, act: Callable[[ExecClient], T]) -> T:
        return act(self.client)

    def hold_to(self, behaviours: Iterable[Behaviour]) -> None:
        """A few of them at a time: most wait for a command of theirs."""
        with ThreadPoolExecutor(4) as pool:
            for held in [pool.submit(behaviour, self) for behaviour in behaviours]:
                held.result()


class LoopbackMachine(MachineSlots):
    """The slots of a server on this machine, without a task around it."""

    task_arn = "none"
    is_running = True
    cfg = SimpleNamespace(memory="4096")

    def __init__(self, client: ExecClient) -> None:
        mode = SimpleNamespace(client=lambda _connection: client)
        self._started = SimpleNamespace(mode=mode, connection=None, lifeline=Unguarded())

    def running(self) -> SimpleNamespace:
        return self._started

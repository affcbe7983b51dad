"""OpenSSH's own sshd on loopback, as an unprivileged or a root process, for tests and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import program
from tests.free_ports import free_port
from tests.fresh_keys import fresh_key_pair
from tests.processes import descendants

if TYPE_CHECKING:
    from collections.abc import Iterator


class RealSshd:
    """An sshd that lets one key in."""

    def __init__(self, directory: Path, *, port: int | None = None, extra_config: str = "") -> None:
        self.directory = directory
        self.port = port or free_port()
        self.host_key = fresh_key_pair()
        self.user_key = fresh_key_pair()
        write_private(directory / "host_key", self.host_key.private)
        (directory / "authorized_keys").write_text(self.user_key.public + "\n")
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {directory}/host_key\n"
            f"AuthorizedKeysFile {directory}/authorized_keys\nStrictModes no\nPidFile none\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nMaxSessions 100\n{extra_config}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [program("sshd"), "-D", "-e", "-f", str(self.directory / "sshd_config")]
        with (self.directory / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._accepts, deadline=60, what="sshd listening")

    def kill(self) -> None:
        """SIGKILL to the listener and to all its sessions."""
        if self._process is None:
            return
        pids = [self._process.pid, *descendants(self._process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP to the listener and to all its sessions: the kernel acknowledges what they do not read."""
        assert self._process is not None
        pids = [self._process.pid, *descendants(self._process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _accepts(self) -> bool | None:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "sshd.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=20).close()
        except OSError:
            return None
        return True

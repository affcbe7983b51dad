"""The floor under file transfers: paramiko and OpenSSH's sshd on loopback, with ``cat`` at the far end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko

from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

_BLOCK = 1024 * 1024


class OpenSsh:
    """An sshd of our own, and one paramiko connection to it that speaks AES-GCM."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "raw-ssh"
        self._folder.mkdir(exist_ok=True)

    def __enter__(self) -> OpenSsh:
        self.key = key = self._folder / "key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shutil.copy(key.with_suffix(".pub"), self._folder / "authorized")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = port = probe.getsockname()[1]
        options = {
            "Port": port, "ListenAddress": "127.0.0.1", "HostKey": key, "PidFile": "none", "StrictModes": "no",
            "AuthorizedKeysFile": self._folder / "authorized", "UsePAM": "no", "PermitRootLogin": "yes",
        }  # fmt: skip
        Path("/run/sshd").mkdir(exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "sshd"
        command = [sshd, "-D", "-e", "-f", "/dev/null", *(f"-o{name}={value}" for name, value in options.items())]
        self._server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        sock = wait_until(lambda: _connected(port), deadline=5, what="the raw sshd")
        self._transport = paramiko.Transport(sock)
        self._transport.get_security_options().ciphers = ("aes128-gcm@openssh.com",)
        self._transport.packetizer.REKEY_BYTES = 1 << 40  # paramiko can lock up when keys change in mid-transfer
        self._transport.start_client()
        self._transport.auth_publickey("root", paramiko.Ed25519Key.from_private_key_file(str(key)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._transport.close()
        self._server.terminate()
        self._server.wait()

    def upload(self, local: Path, name: str) -> None:
        channel = self._transport.open_session()
        channel.exec_command(f"cat > {self._folder / name}")
        with local.open("rb") as file:
            while block := file.read(_BLOCK):
                channel.sendall(block)
        channel.shutdown_write()
        channel.recv_exit_status()

    def download(self, name: str, local: Path) -> None:
        channel = self._transport.open_session()
        channel.exec_command(f"cat {self._folder / name}")
        with local.open("wb") as file:
            while block := channel.recv(_BLOCK):
                file.write(block)


def _connected(port: int) -> socket.socket | None:
    try:
        sock = socket.create_connection(("127.0.0.1", port))
    except OSError:
        return None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock

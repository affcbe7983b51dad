"""The engine's own sidecar as a process of its own, for tests that meet it without an engine."""

from __future__ import annotations

import os
import socket
import subprocess
import textwrap
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.fresh_keys import fresh_key_pair
from tests.warm_python import Popen

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = textwrap.dedent(
    """
    import os, socket, sys
    from pytest_fargate_sandbox.local.sidecar.sidecar_server import serve
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1])), os.environ, sys.argv[2]))
    """
)


class Sidecar:
    """``serve`` as the runner would call it: in its own process, with a socket that was bound before."""

    def __init__(self, shared_dir: Path, **environment: str) -> None:
        self.host_key, self.user_key = fresh_key_pair(), fresh_key_pair()
        self.environment = {
            names.ENV_HOST_KEY: self.host_key.private,
            names.ENV_AUTHORIZED_KEY: self.user_key.public + " a comment",
            names.ENV_TTL: "60",
            **environment,
        }
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
            self.process = Popen[bytes](
                ["-c", _PROGRAM, str(listener.fileno()), str(shared_dir)],
                env={**os.environ, **self.environment},
                pass_fds=[listener.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )

    def tunnel(self, port: int | None = None, **more: object) -> SshTunnel:
        more = {"private_key": self.user_key, "host_key": self.host_key.public, **more}
        return SshTunnel(host="127.0.0.1", port=port or self.port, **more)  # type: ignore[arg-type]

    def end(self) -> str:
        """Its output; there should be none."""
        self.process.kill()
        return self.process.communicate(timeout=30)[0].decode()

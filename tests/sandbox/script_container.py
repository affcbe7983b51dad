"""A root file system with namespaces of its own, in which the sidecar's script runs as PID 1, as in a task."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import program
from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SET_UP = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mkdir -p proc dev run tmp
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir run/fargate-sandbox
mount --bind "$SHARED" run/fargate-sandbox
busybox ip link set lo up
exec chroot . "$@"
"""

_HELPERS = [Path("/usr/lib/openssh", name) for name in ("sshd-session", "sshd-auth")]
"""What sshd starts for each connection, since OpenSSH 9.8 and 10.0."""

_CLONE_NEWNET = 0x40000000


class ScriptContainer:
    """Runs ``command`` over the directory ``lower``, of which it changes nothing."""

    def __init__(self, place: Path, lower: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.shared = place / "shared"
        for folder in (self.shared, place / "mounts"):
            folder.mkdir()
        plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        mounts = {"PLACE": str(place / "mounts"), "LOWER": str(lower), "SHARED": str(self.shared)}
        unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "/bin/sh", "-c", _SET_UP, "sh"]
        self._process = subprocess.Popen(
            [*unshare, *command],
            env={**plain, **environment, **mounts},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._environment = environment
        self.pid = wait_until(self._first_child, deadline=30, what="PID 1 of the container")

    def check(self, script: str) -> int:
        """The exit code of a script inside, with the container's environment, as a health check runs."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--root", "--wd=/"]
        plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            [*inside, "/bin/sh", "-c", script], env={**plain, **self._environment}, check=False, capture_output=True
        ).returncode

    def connect(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A connection to a port inside. A socket keeps the network of the thread that made it."""
        made: list[socket.socket | OSError] = []

        def enter_and_connect() -> None:
            with open(f"/proc/{self.pid}/ns/net") as network:  # noqa: PTH123
                if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET) != 0:
                    made.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                made.append(socket.create_connection((host, port), timeout=30))
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=enter_and_connect)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def proxy(self, port: int) -> FaultProxy:
        """A port on this side that leads to one inside."""
        return FaultProxy(lambda: self.connect(port))

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout: float = 60) -> int:
        return self._process.wait(timeout)

    def end(self) -> str:
        """Its output."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self._process.communicate(timeout=60)[0].decode()

    def _first_child(self) -> int | None:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else None


def busybox_root(place: Path, *, sshd_at: str = "usr/sbin/sshd") -> Path:
    """What Alpine is to the script: busybox for everything, and an sshd; root's account is locked, as there."""
    busybox, sshd = program("busybox"), program("sshd")
    root = place / "busybox-root"
    for folder in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "lib", "lib64", "proc", "dev", "tmp", "run"):
        (root / folder).mkdir(parents=True)
    shutil.copy2(busybox, root / "bin/busybox")
    subprocess.run(["chroot", root, "/bin/busybox", "--install", "-s"], check=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/shadow").write_text("root:!::0:::::\n")
    (root / sshd_at).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(sshd, root / sshd_at)
    helpers = [helper for helper in _HELPERS if helper.exists()]
    for file in [*helpers, *(library for each in (Path(sshd), *helpers) for library in _libraries(each))]:
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    return root


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return [Path(word) for line in listed.splitlines() for word in line.split() if word.startswith("/")]

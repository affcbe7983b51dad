"""podman itself, and images made without a registry."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pytest_fargate_sandbox.local.runners.podman.command_line import CommandFailed, ContainerCommand
from tests.components import need, program

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSYBOX = "localhost/fargate-sandbox-test-busybox:4"
_LABEL = "fargate-sandbox-test=layer"
"""Of busybox, and so of whatever is built on it."""
_BETWEEN_REMOVALS_SEC = 600.0

DEBIAN = "localhost/fargate-sandbox-test-debian:2"


@cache
def podman() -> ContainerCommand:
    """The real command; without it this test is skipped."""
    need("podman")
    return ContainerCommand("podman")


@cache
def busybox_image() -> str:
    """An Alpine-like image: a shell and its tools, no Python, no package manager."""
    command = podman()
    with FileLock(_lock("busybox")):
        if not command.succeeds("image", "inspect", BUSYBOX):
            changes = ["--change", 'CMD ["sh"]', "--change", f"LABEL {_LABEL}"]
            command.run("import", *changes, "-", BUSYBOX, stdin=_busybox_tree())
        _forget_failed_builds(command)
    return BUSYBOX


def _forget_failed_builds(command: ContainerCommand) -> None:
    """Earlier runs left their layers, and with a hundred of them each build takes ten times as long.

    Whoever is first of those that run now does it for all.
    """
    last = _lock("removal").with_suffix(".last")
    if not last.exists() or time.time() - last.stat().st_mtime > _BETWEEN_REMOVALS_SEC:
        last.touch()
        command.succeeds("image", "prune", "--force", "--filter", f"label={_LABEL}", "--filter", "until=30m")


@cache
def debian_image() -> str:
    """Debian's essential packages, its Python and bubblewrap, from what is installed here."""
    need("debian", "bwrap")
    command = podman()
    with FileLock(_lock("debian")):
        if not command.succeeds("image", "inspect", DEBIAN):
            tree = subprocess.run(["sh", "-c", _DEBIAN_TREE], capture_output=True, check=True).stdout
            command.run("import", "--change", 'CMD ["bash"]', "-", DEBIAN, stdin=tree)
    return DEBIAN


_DEBIAN_TREE = r"""
relations="--no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances"
{ dpkg-query -W -f '${Package} ${Essential}\n' | awk '$2 == "yes" { print $1 }'; echo python3 procps bubblewrap; } |
  xargs apt-cache depends --recurse --installed $relations 2>/dev/null | grep '^[a-z0-9]' | sort -u |
  xargs dpkg -L 2>/dev/null | sed -E 's#^/(bin|sbin|lib|lib64)/#/usr/\1/#' |
  grep -vE '^/usr/share/(doc|man|locale|info|lintian)/' |
  { cat; ls -d /bin /sbin /lib /lib64 /etc/passwd /etc/group /etc/ld.so.cache /etc/alternatives/*; } | sort -u |
  tar -c --no-recursion --ignore-failed-read -T - 2>/dev/null || true
"""


@contextmanager
def no_registry() -> Iterator[str]:
    """What listens there knows nothing of images. A connection that is refused, podman itself tries for seconds."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"localhost:{server.server_port}"
        server.shutdown()
        serving.join()


def remove_images(part: str, *, label: str = "") -> None:
    """Those whose name holds ``part``, and that have the label. Of all others podman would look up sizes and labels."""
    wanted = (f"reference=*{part}*", *([f"label={label}"] if label else []))
    filters = [word for each in wanted for word in ("--filter", each)]
    with FileLock(_lock("removal")):  # podman's own list stumbles over an image that goes meanwhile
        try:
            names = podman().run("images", *filters, "--format", "{{.Repository}}:{{.Tag}}").split()
        except CommandFailed:
            return
        podman().succeeds("rmi", "-f", *[name for name in names if part in name])


def _busybox_tree() -> bytes:
    busybox = program("busybox")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (
            ("bin", 0o755),
            ("etc", 0o755),
            ("tmp", 0o1777),
            ("root", 0o700),
            ("run", 0o755),
            ("sbin", 0o755),
        ):
            _add(archive, name, tarfile.DIRTYPE, mode)
        archive.addfile(
            _member("bin/busybox", tarfile.REGTYPE, 0o755, len(data := Path(busybox).read_bytes())), io.BytesIO(data)
        )
        for applet in subprocess.check_output([busybox, "--list"], text=True).split():
            link = _member(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            if applet != "busybox":
                archive.addfile(link)
        for file, mode, text in (
            ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
            ("etc/group", 0o644, "root:x:0:\n"),
            ("sbin/init", 0o755, '#!/bin/sh\nexec /bin/sh "$@"\n'),
        ):
            archive.addfile(_member(file, tarfile.REGTYPE, mode, len(text)), io.BytesIO(text.encode()))
    return buffer.getvalue()


def _member(name: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    return member


def _add(archive: tarfile.TarFile, name: str, kind: bytes, mode: int) -> None:
    archive.addfile(_member(name, kind, mode))


def _lock(image: str) -> Path:
    return Path(tempfile.gettempdir()) / f"fargate-sandbox-test-{image}-{os.getuid()}.lock"

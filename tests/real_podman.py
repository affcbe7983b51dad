"""podman itself, and images made without a registry. Where there is none the tests skip (and fail in CI)."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from pytest_fargate_sandbox.local.podman import available
from pytest_fargate_sandbox.local.podman.command import ContainerCommand

BUSYBOX = "localhost/fargate-sandbox-test-busybox:1"
_APPLETS = [
    "sh",
    "ls",
    "cat",
    "echo",
    "id",
    "sleep",
    "mkdir",
    "rm",
    "touch",
    "ps",
    "kill",
    "env",
    "pwd",
    "tail",
    "head",
    "tr",
    "wc",
    "grep",
    "sed",
    "nc",
    "wget",
    "httpd",
    "ip",
    "true",
    "false",
    "chmod",
    "chown",
    "ln",
    "cp",
    "mv",
    "stat",
    "find",
    "dd",
    "seq",
    "date",
    "hostname",
    "test",
    "nproc",
    "free",
    "mount",
    "tar",
]


@cache
def podman() -> ContainerCommand:
    """The real command; without it this test is skipped."""
    problem = available()
    if problem:
        pytest.skip(problem)
    return ContainerCommand("podman")


@cache
def busybox_image() -> str:
    """An Alpine-like image: a shell and its tools, no Python, no package manager."""
    command = podman()
    with FileLock("/tmp/fargate-sandbox-test-busybox.lock"):
        if not command.succeeds("image", "inspect", BUSYBOX):
            command.run("import", "--change", 'CMD ["sh"]', "-", BUSYBOX, stdin=_busybox_tree())
    return BUSYBOX


def containers_with(label: str) -> list[str]:
    return podman().run("ps", "-aq", "--filter", f"label={label}").split()


def _busybox_tree() -> bytes:
    program = shutil.which("busybox")
    if program is None or "dynamically" in _kind(program):
        pytest.skip("there is no static busybox here (apt-get install busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("run", 0o755)):
            _add(archive, name, tarfile.DIRTYPE, mode)
        archive.addfile(
            _member("bin/busybox", tarfile.REGTYPE, 0o755, len(data := Path(program).read_bytes())), io.BytesIO(data)
        )
        for applet in _APPLETS:
            link = _member(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            archive.addfile(link)
        for file, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
            ("etc/group", "root:x:0:\n"),
        ):
            archive.addfile(_member(file, tarfile.REGTYPE, 0o644, len(text)), io.BytesIO(text.encode()))
    return buffer.getvalue()


def _member(name: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    return member


def _add(archive: tarfile.TarFile, name: str, kind: bytes, mode: int) -> None:
    archive.addfile(_member(name, kind, mode))


def _kind(program: str) -> str:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return "" if done.returncode else "dynamically linked"

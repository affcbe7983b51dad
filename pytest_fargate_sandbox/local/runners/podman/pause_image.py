"""The infra container's image: one program of a few bytes that does nothing, for ever.

Both command lines know ``--network container:…``, so a container has to be there that owns the task's network. podman
has an image for that and docker has none; this one is made here, needs no registry, and is the same for both.
"""

from __future__ import annotations

import io
import platform
import struct
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand

PAUSE_IMAGE = "localhost/fargate-sandbox-pause:1"

# pause() and again, for ever; arm64 has no pause, so ppoll() of nothing there.
_PROGRAMS = {
    "x86_64": (62, bytes.fromhex("b8220000000f05ebf7")),
    "aarch64": (183, bytes.fromhex("280980d2000080d2010080d2020080d2030080d2040080d2010000d4f9ffff17")),
}
_LOAD_ADDRESS = 0x400000
_HEADERS_SIZE = 64 + 56


def pause_is_known() -> bool:
    """Whether the program is written for this machine."""
    return platform.machine() in _PROGRAMS


def ensure_pause_image(command: ContainerCommand) -> None:
    """Import the image, unless it is here already."""
    if not command.succeeds("image", "inspect", PAUSE_IMAGE):
        command.run("import", "--change", 'ENTRYPOINT ["/pause"]', "-", PAUSE_IMAGE, stdin=_archive())


def _archive() -> bytes:
    program = _executable(*_PROGRAMS[platform.machine()])
    info = tarfile.TarInfo("pause")
    info.mode, info.size = 0o755, len(program)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info, io.BytesIO(program))
    return buffer.getvalue()


def _executable(machine: int, code: bytes) -> bytes:
    """``code`` as a static ELF file: a header, one segment that is the whole file, the code."""
    size = _HEADERS_SIZE + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, machine, 1, _LOAD_ADDRESS + _HEADERS_SIZE, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code

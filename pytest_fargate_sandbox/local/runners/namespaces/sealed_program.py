"""Our interpreter as a file that nobody can change, for the process that containers are forked from.

What is executed in a container may be ``/proc/self/exe``, by a link or in a script's first line: then the container's
own process has the file in its hands that we ran as, and root of a container may do with the host's interpreter what
its owner may. A sealed copy in memory is nobody's, and goes with its last process. (As runc does since CVE-2019-5736:
https://github.com/opencontainers/runc/blob/v1.1.12/libcontainer/nsenter/cloned_binary.c)
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_MFD_EXEC = 0x10
"""Since Linux 6.3, where a file in memory may not be executable otherwise (memfd_create(2))."""
_LARGE = 1 << 30
_ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def start_module(module: str, *arguments: str, env: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """``python -m module``; the rest is for ``Popen``."""
    return start_python("-m", module, *arguments, env=env, **options)


def start_python(
    *arguments: str, env: dict[str, str], pass_fds: Sequence[int] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """Raises ``OSError`` where the kernel runs no program from memory."""
    program = _sealed_copy(Path("/proc/self/exe"))
    try:
        return subprocess.Popen(
            [sys.executable, *arguments],
            executable=f"/proc/self/fd/{program}",
            pass_fds=[*pass_fds, program],
            env=env | _way_to_libraries(),
            **options,
        )
    finally:
        os.close(program)


def _way_to_libraries() -> dict[str, str]:
    """An interpreter that can be moved finds them by its own place, which the copy has not."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return {}
    return {"LD_LIBRARY_PATH": f"{sys.base_exec_prefix}/lib"}


def _sealed_copy(program: Path) -> int:
    copy = _file_in_memory()
    with program.open("rb") as source:
        while os.sendfile(copy, source.fileno(), None, _LARGE):
            pass
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _ALL_SEALS)
    return copy


def _file_in_memory() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("python", flags | _MFD_EXEC)
    except OSError:  # an older kernel, where they all are
        return os.memfd_create("python", flags)

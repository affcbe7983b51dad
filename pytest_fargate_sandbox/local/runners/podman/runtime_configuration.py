"""What root of a container shares with the host in /proc, made read-only or hidden, for podman; of builds, mounts too.

And what an image asks of this machine's runtime, made nothing: podman hands down an image's annotations, by which crun
has no filter of system calls, or another one, or loads a library, and systemd's properties.
https://github.com/containers/crun/blob/1.14/crun.1.md#extensions-to-oci

No option does it: a mount within /proc is refused by runc, and ``--security-opt mask=`` would hide what programs read.
But the runtime's configuration has lists ``readonlyPaths`` and ``maskedPaths``, to which more can be added. It is done
for every container, hence by sed: a Python that parses all of it would take a tenth as long as the start.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.podman import mounts_of_step
from pytest_fargate_sandbox.local.runners.task_limits import most_processes
from pytest_fargate_sandbox.local.shared_proc import private_entries, shared_entries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PODMANS_OWN = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
"""The option replaces them, so they are named again; podman does not mind when they are not there."""

_RUNTIME = """#!/bin/sh
for word; do
  if [ "$before" = --bundle ]; then
    {look} "$word" {places} || exit
    {hide}
  fi
  before=$word
done
exec {runtime} "$@"
"""
_HIDE = 'sed -i {script} "$word/config.json"'
_STEERING = ("run.oci", "krun", "org.systemd", "org.criu", "module.wasm", "io.katacontainers", "dev.gvisor")
"""How annotations begin that a runtime heeds."""


def hook_options(directory: Path) -> list[str]:
    """For containers: a ``precreate`` hook (oci-hooks(5)), which may rewrite the configuration, in ``directory``."""
    hook = {
        "version": "1.0.0",
        "hook": {"path": shutil.which("sed"), "args": ["sed", _sed_script()]},
        "when": {"always": True},
        "stages": ["precreate"],
    }
    (directory / "shared-proc.json").write_text(json.dumps(hook), encoding="utf-8")
    return [word for place in (*_PODMANS_OWN, str(directory)) for word in ("--hooks-dir", place)]


def runtime_options(directory: Path, runtime: str, places: Iterable[str], *, limits_processes: bool) -> list[str]:
    """For the steps of a build, which know no such hooks: a program in ``directory`` that stands for the runtime.

    ``places``: its network, and what a step may have mounts of, as ``mounts_of_step`` takes them.
    """
    program = directory / "runtime"
    script = _RUNTIME.format(
        look=shlex.join([sys.executable, "-I", "-S", "-B", mounts_of_step.__file__]),
        places=shlex.join(places),
        hide=_HIDE.format(script=shlex.quote(_sed_script(*([_limit()] if limits_processes else [])))),
        runtime=shlex.quote(runtime),
    )
    program.write_text(script, "utf-8")
    program.chmod(0o700)
    return ["--runtime", str(program)]


def _sed_script(*more: str) -> str:
    """Without root no container has entries of the host's."""
    if os.geteuid() == 0:
        more += (_prepend("readonlyPaths", shared_entries()), _prepend("maskedPaths", private_entries()))
    return ";".join((*map(_unheeded, _STEERING), *more))


def _unheeded(beginning: str) -> str:
    """No quote within a string of JSON stands without a backslash, so this is a key."""
    word = beginning.replace(".", "\\.")
    return f's|\\([^\\]\\)"\\({word}\\.[^"]*" *:\\)|\\1"of-the-image.\\2|g'


def _limit() -> str:
    """The processes of a step: builders have no option for it, and root's are bound by no other limit."""
    return f's|"resources": *{{|&"pids":{{"limit":{most_processes()}}},|'


def _prepend(key: str, paths: Iterable[str]) -> str:
    # Within a string of JSON every quote has a backslash, so this matches the key and nothing else.
    listed = "".join(f'"{path}",' for path in paths)
    return f's|"{key}": *\\[|&{listed}|'

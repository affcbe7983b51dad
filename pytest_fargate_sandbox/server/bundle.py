"""The server as it travels: its source, compressed, in the main container's own command.

No registry, no bucket and no network is needed for it, and it runs in whatever image a test names. Where the image has
no fitting Python, the container's shell asks the sidecar for one (``want-runtime``) and waits for it to be ready.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re
import zlib
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Lesson(NamedTuple):
    """A part of the server that need not be there from the start."""

    modules: tuple[str, ...]
    after: tuple[str, ...] = ()
    """Lessons on which it builds."""


_PACKAGE = "pytest_fargate_sandbox"
SHIPPED_MODULES = (
    "exec_server",
    "failure",
    "message",
    "prctl",
    "protocol",
    "terminal_protocol",
    "work_dir",
    "requests.exchange",
    "requests.guests",
    "requests.http1",
    "requests.listener",
    "requests.verbs",
    "commands.command",
    "commands.command_table",
    "commands.command_user",
    "commands.ended_commands",
    "commands.intake",
    "commands.kept_output",
    "commands.last_words",
    "commands.oom_counter",
    "commands.output_listener",
    "commands.output_window",
    "commands.pipes",
    "commands.process_tree",
    "commands.pseudo_terminal",
    "commands.pump",
    "commands.reaper",
    "commands.spawning",
    "commands.terminal_places",
    "commands.waker",
)
LESSONS = {
    "files.file_verbs": Lesson(
        modules=(
            "files.archives",
            "files.directory_trees",
            "files.fetching",
            "files.file_protocol",
            "files.file_user",
            "files.file_verbs",
            "files.landings",
            "files.long_payload",
            "files.single_files",
            "files.tar_reader",
            "thread_rights",
        ),
    ),
    "files.path_verbs": Lesson(
        modules=("artifacts.globs", "files.path_protocol", "files.path_verbs"), after=("files.file_verbs",)
    ),
    "files.push_verbs": Lesson(modules=("files.push_protocol", "files.push_verbs"), after=("files.file_verbs",)),
    "artifacts.artifact_verbs": Lesson(
        modules=(
            "artifacts.artifact_frames",
            "artifacts.artifact_protocol",
            "artifacts.artifact_verbs",
            "artifacts.collecting",
            "artifacts.confines",
            "artifacts.globs",
            "artifacts.met_files",
            "artifacts.packing",
            "artifacts.walk",
        ),
        after=("files.file_verbs",),
    ),
    "snapshots.snapshot_verbs": Lesson(
        modules=(
            "artifacts.globs",
            "snapshots.comparing",
            "snapshots.known_tree",
            "snapshots.known_trees",
            "snapshots.loading",
            "snapshots.saving",
            "snapshots.snapshot_format",
            "snapshots.snapshot_protocol",
            "snapshots.snapshot_reader",
            "snapshots.snapshot_verbs",
        ),
        after=("files.file_verbs",),
    ),
    "tunnel.tunnel_verbs": Lesson(
        modules=(
            "tunnel.inner_end",
            "tunnel.lane",
            "tunnel.passage",
            "tunnel.records",
            "tunnel.tunnel_verbs",
            "tunnel.tunnels",
            "tunnel.ready_sockets",
        ),
    ),
    "renewal.renewal_verbs": Lesson(
        modules=(
            "renewal.inventory",
            "renewal.renewal_protocol",
            "renewal.renewal_verbs",
            "slots.emptying",
            "thread_rights",
        ),
    ),
    "slots.slot_verbs": Lesson(
        modules=(
            "slots.birther",
            "slots.births",
            "slots.bubblewrap",
            "slots.emptying",
            "slots.ground",
            "slots.grounds",
            "slots.key_rings",
            "slots.many_runs",
            "slots.namespace_ground",
            "slots.owned_processes",
            "slots.shared_memory",
            "slots.shared_places",
            "slots.shortage",
            "slots.slot_protocol",
            "slots.slot_table",
            "slots.slot_verbs",
            "slots.tenant",
            "thread_rights",
            "slots.user_ground",
        ),
    ),
}
"""What a running server can learn, by the module that says how it is asked for: it travels when it is wanted."""

_DOCSTRING = re.compile(r'^( *)""".*?"""$', re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^ *|  )#.*$", re.MULTILINE)
_FOR_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", re.MULTILINE)
_TYPE = r'(?:"[^"\n]*"|[\w.]+)'
_RETURNED = re.compile(r"\) -> [^\n]+:$", re.MULTILINE)
_PARAMETERS = re.compile(r"^( *def \w+\()(.*?)(\):)$", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(rf"(\w+): {_TYPE}")
_ASSIGNED = re.compile(rf"^( *[\w.]+): {_TYPE} = ", re.MULTILINE)
_DECLARED = re.compile(rf"^ +\w+: {_TYPE}$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^( *[\w.]+(?:, [\w.]+)*) ([+-]?=) ", re.MULTILINE)
_INDENT = re.compile(r"^(?:    )+", re.MULTILINE)
_SHIPPED_NAMES = (
    "ENV_LOG",
    "ENV_PRELOAD",
    "ENV_SERVER_PORT",
    "ENV_TOKEN_SHA256",
    "ENV_TTL",
    "EXIT_EXPIRED",
    "NO_PRELOAD",
    "WORK_DIR",
)

_ENV_SOURCE = "FARGATE_SANDBOX_SERVER"
"""Carries the source past the argument list, so that ``ps`` in the container stays readable."""
_ENV_OTHERWISE = "FARGATE_SANDBOX_OTHERWISE"
"""What to do where the image's Python turns out to be of no use: it cannot go back to the shell that it came from."""

_ENV_PRELOADED = "LD_PRELOAD"

_FLAGS = ["-I", "-S", "-B", "-c"]
_START = f"""
import os, sys
otherwise = os.environ.pop('{_ENV_OTHERWISE}', '')
try:
    import binascii, select, zlib, _posixsubprocess, _socket
except ImportError:
    if not otherwise: raise
    os.execv('/bin/sh', ['/bin/sh', '-c', otherwise])
source = os.environ.pop('{_ENV_SOURCE}', '') or sys.argv.pop()
loader, *parts = zlib.decompress(binascii.a2b_base64(source)).decode().split(chr(0))
SOURCES = dict(zip(parts[::2], parts[1::2]))
exec(loader)
"""
_LOADER = [f"{names.RUNTIME_DIR}/lib/ld.so", "--library-path", f"{names.RUNTIME_DIR}/lib"]
_DROPPED_PYTHON = [*_LOADER, f"{names.RUNTIME_DIR}/bin/python3"]

_BOOT = f"""
export {_ENV_SOURCE}="$1" {_ENV_OTHERWISE}="$2" {names.ENV_PRELOAD}="${{LD_PRELOAD-}}"
unset LD_PRELOAD
for python in python3 /usr/local/bin/python3 /usr/bin/python3 python; do
  case "$("$python" -V 2>/dev/null)" in
    "Python 3."[6-9]* | "Python 3."[1-9][0-9]*) exec "$python" {" ".join(_FLAGS)} "{_START}" ;;
  esac
done
unset {_ENV_OTHERWISE}
eval "$2"
"""

_NO_PYTHON = """
echo 'fargate-sandbox: no python3 of at least 3.6 in this image, and runtime="image" wants none from the sidecar' >&2
exit 127
"""

_ASK_THE_SIDECAR = f"""
if [ ! -d {names.SHARED_DIR} ]; then
  echo 'fargate-sandbox: no python3 of at least 3.6 here, and no volume at {names.SHARED_DIR} to get one from' >&2
  exit 127
fi
tries=0
until [ -e {names.RUNTIME_DIR}/ready ]; do
  [ -e {names.WORK_DIR}/want-runtime ] || : 2>/dev/null >{names.WORK_DIR}/want-runtime || :
  tries=$((tries + 1))
  if [ $tries -gt 1200 ]; then
    echo 'fargate-sandbox: no python3 of at least 3.6 here, and the sidecar brought none within a minute' >&2
    exit 127
  fi
  sleep 0.05 2>/dev/null || sleep 1
done
exec {" ".join(_DROPPED_PYTHON)} {" ".join(_FLAGS)} "{_START}"
"""


def server_command(runtime: str, *lessons: str, source: str = "") -> tuple[list[str], list[str]]:
    """The main container's ``entryPoint`` and ``command``, for a ``runtime`` of image, sidecar or auto.

    These ``lessons`` it knows from the start: who cannot reach it without them cannot teach it.
    """
    source = source or shipped_source(*lessons)
    if runtime == "sidecar":
        return [*_DROPPED_PYTHON, *_FLAGS, _START], [source]
    otherwise = _NO_PYTHON if runtime == "image" else _ASK_THE_SIDECAR
    return ["/bin/sh", "-c", _BOOT, "fargate-sandbox"], [source, otherwise]


def server_environment(runtime: str, given: Mapping[str, str]) -> dict[str, str]:
    """What of the main container's environment is to be otherwise for its server; a shell sees to it by itself.

    Without one, what a definition ``given`` says of LD_PRELOAD is kept for commands; what the image says is lost.
    """
    if runtime != "sidecar":
        return {}
    wanted = given.get(_ENV_PRELOADED, names.NO_PRELOAD)
    kept = {} if wanted == names.NO_PRELOAD else {names.ENV_PRELOAD: wanted}
    return {_ENV_PRELOADED: names.NO_PRELOAD, **kept}


@lru_cache(maxsize=2)
def shipped_source(*lessons: str) -> str:
    """All modules in one text, compressed. The same sources give the same text: task definitions are found by it."""
    server = importlib.resources.files(f"{_PACKAGE}.server")
    modules = (*SHIPPED_MODULES, *(module for lesson in lessons for module in LESSONS[lesson].modules))
    packages = (f"server.{module}".rpartition(".")[0] for module in modules)
    sources = {_PACKAGE: "", f"{_PACKAGE}.leaves": "", f"{_PACKAGE}.leaves.names": _names()}
    sources.update({f"{_PACKAGE}.{package}": "" for package in packages})
    sources.update(_sources_of(modules))
    loader = _without_prose(server.joinpath("loader.py").read_text("utf-8"))
    known = f"KNOWN = {[f'{_PACKAGE}.server.{lesson}' for lesson in lessons]!r}\n" if lessons else ""
    # All that is loaded stays: to look through it for garbage again and again takes a twentieth of the start.
    quick = "import gc\ngc.disable()\n"
    run = f"{quick}{known}exec(compile(SOURCES['{_PACKAGE}.server.exec_server'], '<main>', 'exec', dont_inherit=True))"
    text = chr(0).join([f"{loader}\n{run}\n", *(part for source in sources.items() for part in source)])
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """The same as long as servers, and what they may learn, are of the same sources."""
    server = importlib.resources.files(f"{_PACKAGE}.server")
    digest = hashlib.sha256(_names().encode())
    for module in sorted({*SHIPPED_MODULES, *chain(*(lesson.modules for lesson in LESSONS.values()))}):
        digest.update(server.joinpath(*f"{module.replace('.', '/')}.py".split("/")).read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=4)
def lesson(name: str) -> tuple[str, bytes]:
    """The module that a server is to load, and the compressed source of it and of all that it takes."""
    sources = {f"{_PACKAGE}.server.{module}".rpartition(".")[0]: "" for module in LESSONS[name].modules}
    sources.update(_sources_of(LESSONS[name].modules))
    text = chr(0).join(part for source in sources.items() for part in source)
    return f"{_PACKAGE}.server.{name}", zlib.compress(text.encode("utf-8"), 9)


@lru_cache(maxsize=1)
def tunnel_program() -> str:
    """A program that takes tunnels, for a container beside ours; its arguments are those of ``take_tunnels``."""
    modules = [*LESSONS["tunnel.tunnel_verbs"].modules, "tunnel.lone_end"]
    modules.remove("tunnel.tunnel_verbs")
    sources = {_PACKAGE: "", f"{_PACKAGE}.server": "", f"{_PACKAGE}.server.tunnel": "", **_sources_of(modules)}
    loader = importlib.resources.files(f"{_PACKAGE}.server").joinpath("loader.py").read_text("utf-8")
    start = (
        f"from {_PACKAGE}.server.tunnel.lone_end import take_tunnels\nimport sys\n"
        "take_tunnels(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
    )
    text = chr(0).join([f"{_without_prose(loader)}\n{start}\n", *(part for each in sources.items() for part in each)])
    packed = base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")
    return (
        f"import binascii, zlib\nloader, *parts = zlib.decompress(binascii.a2b_base64('{packed}')).decode()"
        ".split(chr(0))\nSOURCES = dict(zip(parts[::2], parts[1::2]))\nexec(loader)"
    )


def _sources_of(modules: Iterable[str]) -> dict[str, str]:
    server = importlib.resources.files(f"{_PACKAGE}.server")
    paths = {module: f"{module.replace('.', '/')}.py".split("/") for module in modules}
    return {
        f"{_PACKAGE}.server.{module}": _without_prose(server.joinpath(*path).read_text("utf-8"))
        for module, path in paths.items()
    }


def _without_prose(source: str) -> str:
    """The source without docstrings, comments, types and wide margins, half of it; every line keeps its number.

    By the looks of our own sources: to parse them would cost each process that starts a sandbox a tenth of a second.
    """
    without = _DOCSTRING.sub(lambda found: f'{found[1]}""' + "\n" * found[0].count("\n"), source)
    without = _FOR_TYPES_ONLY.sub(lambda found: "\n" * found[0].count("\n"), without)
    without = _ASSIGNMENT.sub(r"\1\2", _without_types(_COMMENT.sub("", without)))
    return _INDENT.sub(lambda found: " " * (len(found[0]) // 4), without)


def _without_types(source: str) -> str:
    without = _RETURNED.sub("):", source)
    without = _PARAMETERS.sub(lambda found: found[1] + _PARAMETER.sub(r"\1", found[2]) + found[3], without)
    return _DECLARED.sub("", _ASSIGNED.sub(r"\1 = ", without))


def _names() -> str:
    """What the server shares with us. The module itself is written for newer Pythons than the container may have."""
    return "".join(f"{name} = {getattr(names, name)!r}\n" for name in _SHIPPED_NAMES)

"""What a server that has learnt of paths answers about them."""

import os
import shutil
import stat

from pytest_fargate_sandbox.server.artifacts.globs import Glob
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import FileList
from pytest_fargate_sandbox.server.files.file_user import as_user
from pytest_fargate_sandbox.server.files.landings import landing_of
from pytest_fargate_sandbox.server.files.path_protocol import FindPaths, MakeDirectory, PathFacts, Remove, Stat
from pytest_fargate_sandbox.server.protocol import Nothing, decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from pytest_fargate_sandbox.server.artifacts.globs import States
    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_DEEPEST = 256
"""Directories in each other, as in an archive."""


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    return [
        (Stat, as_user(_answering(_stat))),
        (MakeDirectory, as_user(_answering(_make_directory))),
        (Remove, as_user(_answering(_remove))),
        (FindPaths, as_user(_answering(_find))),
    ]


def _answering(act: "Callable[[Any], Message]") -> "Callable[[Exchange, Any], None]":
    def answer(exchange: "Exchange", request: "Any") -> None:
        try:
            said = act(request)
        except OSError as error:
            named = error.filename
            raise Failure.of_os_error(error, decoded(named) if isinstance(named, bytes) else request.path) from None
        exchange.answer(said)

    return answer


def _stat(request: Stat) -> PathFacts:
    path = encoded(request.path)
    status = os.stat(path, follow_symlinks=request.follow)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return PathFacts(
        kind=kind,
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        target=decoded(os.readlink(path)) if kind == "link" else "",
    )


def _make_directory(request: MakeDirectory) -> Nothing:
    path = encoded(request.path)
    try:
        (os.makedirs if request.parents else os.mkdir)(path, request.mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    return Nothing()


def _remove(request: Remove) -> Nothing:
    """Once, however often it is asked for: what came there since is another's."""
    path = encoded(request.path)

    def gone() -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            (shutil.rmtree if request.recursive else os.rmdir)(path)
        else:
            os.unlink(path)

    landing_of(request.id).once(gone)
    return Nothing()


def _find(request: FindPaths) -> FileList:
    glob, found, size = Glob.of(request.glob), [], 0
    for path in _fitting(glob, encoded(request.path), b"", glob.begin, 0):
        found.append(decoded(path))
        size += len(path) * 6 + 4  # as JSON, at most
        if size > FileList.LONGEST:
            raise Failure("too_large", "more paths fit %s than can be told" % request.glob, path=request.path)
    return FileList(names=found)


def _fitting(glob: Glob, root: bytes, below: bytes, states: "States", depth: int) -> "Iterator[bytes]":
    """In order. What may not be looked into, or is gone meanwhile, has nothing in it."""
    try:
        with os.scandir(os.path.join(root, below) or b".") as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        if not below:
            raise
        return
    for entry in entries:
        after = glob.step(states, decoded(entry.name))
        path = os.path.join(below, entry.name)
        if glob.is_whole(after):
            yield path
        further = glob.unfinished(after)
        if further and depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
            yield from _fitting(glob, root, path, further, depth + 1)

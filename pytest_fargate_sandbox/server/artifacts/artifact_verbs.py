"""What a server that has learnt of artifacts answers about them."""

import os

from pytest_fargate_sandbox.server.artifacts import artifact_frames as frames
from pytest_fargate_sandbox.server.artifacts.artifact_protocol import (
    CollectArtifacts,
    ListArtifacts,
    PackArtifacts,
    ReadArtifact,
)
from pytest_fargate_sandbox.server.artifacts.collecting import Collection
from pytest_fargate_sandbox.server.artifacts.confines import Confines
from pytest_fargate_sandbox.server.artifacts.globs import Glob
from pytest_fargate_sandbox.server.artifacts.met_files import EVERYTHING, MetFiles
from pytest_fargate_sandbox.server.artifacts.packing import Packer
from pytest_fargate_sandbox.server.artifacts.walk import Entry, Walk
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    return [
        (ReadArtifact, _answering(_read)),
        (ListArtifacts, _answering(_list)),
        (PackArtifacts, _answering(_pack)),
        (CollectArtifacts, _answering(lambda request: Collection(request).all())),
    ]


def _answering(act: "Callable[[Any], Iterable[bytes]]") -> "Callable[[Exchange, Any], None]":
    def answer(exchange: "Exchange", request: "Any") -> None:
        exchange.stream(_failing_well(act, request), 0)

    return answer


def _failing_well(act: "Callable[[Any], Iterable[bytes]]", request: "Any") -> "Iterator[bytes]":
    try:
        yield from act(request)
    except OSError as error:
        raise Failure.of_os_error(error, getattr(request, "path", "")) from None


def _read(request: ReadArtifact) -> "Iterator[bytes]":
    confines = Confines(request.root)
    with confines.find(encoded(request.path)) as found:
        file, status = found.open_file()
        path = confines.shown(found.names)
    try:
        yield frames.described(path, status)
        yield from frames.content(file, request.most_bytes)
    finally:
        os.close(file)
    yield frames.facts(last=True)


def _list(request: ListArtifacts) -> "Iterator[bytes]":
    confines = Confines(request.root)
    with confines.find(encoded(request.path)) as found:
        names, status, is_dir = tuple(found.names), found.status, found.is_dir
    if not is_dir:
        yield frames.described(confines.shown(names), status)
        yield frames.facts(last=True)
        return
    walk = Walk(confines, names, request.most_entries)
    for entry in walk.all(EVERYTHING if request.recursive else Glob(b"*"), descend=request.recursive):
        yield frames.described(confines.shown(entry.names), *_led_to(confines, entry))
    for where, reason in walk.troubles:
        yield frames.trouble(confines.shown(where), reason)
    yield frames.facts(last=True, more=walk.has_more)


def _led_to(confines: Confines, entry: Entry) -> "tuple[os.stat_result, bool]":
    """A link is told as what it leads to, if that is in the workspace; else as itself."""
    if entry.is_link:
        try:
            with confines.find(confines.path_of(entry.names)) as found:
                return found.status, found.is_dir
        except (OSError, Failure):
            pass
    return entry.status, entry.is_dir


def _pack(request: PackArtifacts) -> "Iterator[bytes]":
    confines = Confines(request.root)
    packer = Packer(request.most_bytes)
    files = MetFiles(confines, encoded(request.path), None, request.most_entries)
    for met in files:
        if met.status is None:
            yield frames.trouble(confines.shown(met.names), met.error or OSError())
            continue
        yield from map(frames.data, packer.add(met.names, met.status, met.file))
        if not packer.has_room:
            break
    yield from map(frames.data, packer.end())
    yield frames.facts(last=True, more=files.has_more, size=packer.told_size, count=packer.count)

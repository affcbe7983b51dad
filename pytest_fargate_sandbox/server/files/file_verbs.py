"""What a server that has learnt of files answers about them."""

from pytest_fargate_sandbox.server.files import directory_trees, fetching, single_files
from pytest_fargate_sandbox.server.files.file_protocol import (
    Arrived,
    Fetch,
    ListFiles,
    ReadFile,
    ReadTree,
    Upload,
    WriteFile,
    WriteTree,
)
from pytest_fargate_sandbox.server.files.file_user import as_user
from pytest_fargate_sandbox.server.files.landings import landing_of, take_upload
from pytest_fargate_sandbox.server.protocol import Nothing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    return [
        (ReadFile, as_user(_read_file)),
        (WriteFile, as_user(_write_file)),
        (ListFiles, as_user(_list_files)),
        (ReadTree, as_user(_read_tree)),
        (WriteTree, as_user(_write_tree)),
        (Upload, _upload),
        (Fetch, as_user(_fetch)),
    ]


def _read_file(exchange: "Exchange", request: ReadFile) -> None:
    exchange.stream(single_files.read(request.path), request.skip)


def _write_file(exchange: "Exchange", request: WriteFile) -> None:
    take_upload(exchange, request, lambda payload, land: single_files.write(request, payload, land))
    exchange.answer(Nothing())


def _list_files(exchange: "Exchange", request: ListFiles) -> None:
    exchange.answer(single_files.list_directory(request.path))


def _read_tree(exchange: "Exchange", request: ReadTree) -> None:
    exchange.stream(directory_trees.read(request.path), request.skip)


def _write_tree(exchange: "Exchange", request: WriteTree) -> None:
    take_upload(exchange, request, lambda payload, land: directory_trees.write(request.path, payload, land))
    exchange.answer(Nothing())


def _upload(exchange: "Exchange", request: Upload) -> None:
    landing = landing_of(request.id)
    offset = landing.payload.stop() if landing.payload else 0
    exchange.answer(Arrived(offset=offset, landed=landing.done))


def _fetch(exchange: "Exchange", request: Fetch) -> None:
    landing = landing_of(request.id)
    if not landing.done:
        fetching.fetch(request, landing.once)
    exchange.answer(Nothing())

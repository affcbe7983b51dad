"""What a server that has learnt of snapshots answers about them."""

import os

from pytest_fargate_sandbox.server.files import directory_trees
from pytest_fargate_sandbox.server.files.landings import take_upload
from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.snapshots.loading import Loading, LoadingOfRoot
from pytest_fargate_sandbox.server.snapshots.saving import Saving
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import LoadSnapshot, SaveSnapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    return [(SaveSnapshot, _save), (LoadSnapshot, _load)]


def _save(exchange: "Exchange", request: SaveSnapshot) -> None:
    own_uid = exchange.tenant.uid if exchange.tenant else os.geteuid()
    exchange.stream(Saving(request.path, request.exclude, own_uid).blocks(), request.skip)


def _load(exchange: "Exchange", request: LoadSnapshot) -> None:
    how = Loading if exchange.tenant or os.geteuid() != 0 else LoadingOfRoot
    take_upload(exchange, request, lambda payload, land: directory_trees.write(request.path, payload, land, how))
    exchange.answer(Nothing())

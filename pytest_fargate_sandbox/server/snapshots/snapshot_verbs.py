"""What a server that has learnt of snapshots answers about them."""

import os
from collections import OrderedDict

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import directory_trees, fetching
from pytest_fargate_sandbox.server.files.file_user import as_user
from pytest_fargate_sandbox.server.files.landings import landing_of, take_upload
from pytest_fargate_sandbox.server.protocol import Nothing, encoded
from pytest_fargate_sandbox.server.snapshots.comparing import Comparison
from pytest_fargate_sandbox.server.snapshots.known_tree import KnownTree, described
from pytest_fargate_sandbox.server.snapshots.known_trees import KnownTrees
from pytest_fargate_sandbox.server.snapshots.loading import Loading
from pytest_fargate_sandbox.server.snapshots.saving import Saving
from pytest_fargate_sandbox.server.snapshots.snapshot_format import Facts
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import (
    AskLoaded,
    CompareTree,
    Difference,
    FetchSnapshot,
    KnowTree,
    Loaded,
    LoadSnapshot,
    SaveSnapshot,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from pytest_fargate_sandbox.server.files.archives import How
    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs

_MOST_TOLD = 200000
"""Differences."""

_REMEMBERED = 256


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    answers = _Answers()
    return [
        (SaveSnapshot, as_user(answers.save)),
        (LoadSnapshot, as_user(answers.load)),
        (FetchSnapshot, as_user(answers.fetch)),
        (AskLoaded, answers.loaded),
        (KnowTree, answers.know),
        (CompareTree, answers.compare),
    ]


class _Answers:
    def __init__(self) -> None:
        self._known = KnownTrees()
        self._not_kept: "OrderedDict[str, Facts]" = OrderedDict()
        """Of the last loadings, by their ids."""

    def save(self, exchange: "Exchange", request: SaveSnapshot) -> None:
        def blocks() -> "Iterator[bytes]":
            tree = _new_tree(exchange, request.exclude)
            saving = Saving(request.path, tree, _own_uid(exchange))
            yield from saving.blocks()
            self._known.keep(request.path, saving.sha256, tree)

        exchange.stream(blocks(), request.skip)

    def load(self, exchange: "Exchange", request: LoadSnapshot) -> None:
        take_upload(
            exchange,
            request,
            lambda payload, land: directory_trees.write(request.path, payload, land, self._loading(exchange, request)),
        )
        exchange.answer(Nothing())

    def fetch(self, exchange: "Exchange", request: FetchSnapshot) -> None:
        landing = landing_of(request.id)
        if not landing.done:
            fetching.fetch(request, landing.once, self._loading(exchange, request))
        exchange.answer(Nothing())

    def _loading(self, exchange: "Exchange", request: "LoadSnapshot | FetchSnapshot") -> "How":
        tree = _new_tree(exchange, [])

        def landed(sha256: str, not_kept: Facts) -> None:
            self._known.keep(request.path, sha256, tree)
            self._not_kept[request.id] = not_kept
            if len(self._not_kept) > _REMEMBERED:
                self._not_kept.popitem(last=False)

        keeps_owners = _is_of_root(exchange) and not request.user
        modes = 0o7777 if request.set_ids else 0o1777
        return lambda staging, most: Loading(staging, most, tree, landed, keeps_owners=keeps_owners, modes=modes)

    def loaded(self, exchange: "Exchange", request: AskLoaded) -> None:
        not_kept = self._not_kept.get(request.id) or Facts()
        exchange.answer(Loaded(not_kept=not_kept.left_out, more=not_kept.more))

    def know(self, exchange: "Exchange", request: KnowTree) -> None:
        tree = _new_tree(exchange, request.exclude)
        if request.described:
            for path, facts in described(exchange.payload.read_exactly):
                tree.put_described(path, facts)
            tree.settle()
        else:
            for _ in Saving(request.path, tree, _own_uid(exchange), only_known=True).blocks():
                pass
        self._known.keep(request.path, request.name, tree)
        exchange.answer(Nothing())

    def compare(self, exchange: "Exchange", request: CompareTree) -> None:
        tree = self._known.find(request.path, request.name) if request.name else _new_tree(exchange, []).settle()
        exchange.stream(_lines(tree, request.path), 0)


def _lines(tree: KnownTree, path: str) -> "Iterator[bytes]":
    count, more = 0, False
    try:
        for difference in Comparison(tree).differences(encoded(path)):
            count += 1
            if count > _MOST_TOLD:
                more = True
                break
            yield difference.to_json()
    except OSError as error:
        raise Failure.of_os_error(error, path) from None
    yield Difference(last=True, more=more).to_json()


def _new_tree(exchange: "Exchange", exclude: "list[str]") -> KnownTree:
    """Who owns what matters to root alone: others own what they make, and could not change that."""
    if _is_of_root(exchange):
        return KnownTree(exclude, lambda uid, gid: (uid, gid))
    return KnownTree(exclude, lambda _uid, _gid: (0, 0))


def _own_uid(exchange: "Exchange") -> int:
    return exchange.tenant.uid if exchange.tenant else os.geteuid()


def _is_of_root(exchange: "Exchange") -> bool:
    return not exchange.tenant and os.geteuid() == 0

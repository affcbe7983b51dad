"""The trees that this server knows, as many as its memory is for; those that nobody asks about go first."""

import os
import threading
from collections import OrderedDict

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import encoded
from pytest_fargate_sandbox.server.snapshots.known_tree import KnownTree

_MOST_ENTRIES = 500000
"""Of some hundred bytes each."""


class KnownTrees:
    """By the directory that they are of, and a name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trees: "OrderedDict[tuple[bytes, str], KnownTree]" = OrderedDict()

    def keep(self, path: str, name: str, tree: KnownTree) -> None:
        key = _key(path, name)
        with self._lock:
            self._trees.pop(key, None)
            self._trees[key] = tree
            while sum(map(len, self._trees.values())) > _MOST_ENTRIES and len(self._trees) > 1:
                self._trees.popitem(last=False)

    def find(self, path: str, name: str) -> KnownTree:
        key = _key(path, name)
        with self._lock:
            tree = self._trees.get(key)
            if tree is None:
                raise Failure("forgotten", "this server does not know what %s was like then" % path)
            self._trees.move_to_end(key)
            return tree


def _key(path: str, name: str) -> "tuple[bytes, str]":
    return os.path.abspath(encoded(path)), name

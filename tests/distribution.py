"""Which worker runs what: the longest tests first of all, and the tests of a file on one worker where that can be."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import WorkStealingScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xdist.remote import Producer
    from xdist.workermanage import WorkerController


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked ``long`` comes where some worker begins, or the last of them runs alone, and all others wait."""
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    long: dict[object, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("long"):
            long.setdefault(item.path, []).append(item)
    if not worker or not long:
        return
    shares: list[list[pytest.Item]] = [[] for _ in range(worker["workercount"])]
    for number, of_a_file in enumerate(sorted(long.values(), key=len)):
        shares[number % len(shares)] += of_a_file
    others = [item for item in items if not item.get_closest_marker("long")]
    left = len(items)
    items.clear()
    for number, share in enumerate(shares):
        size = left // (len(shares) - number)
        left -= size
        room = max(0, size - len(share))
        items += [*share, *others[:room]]
        del others[:room]
    items += others


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WorkStealingScheduling | None:
    return ByFile(config, log) if config.getoption("dist") == "worksteal" else None


class ByFile(WorkStealingScheduling):
    """What a file's tests share is made once for each worker that has some of them."""

    def add_node(self, node: WorkerController) -> None:
        super().add_node(node)
        steal = node.send_steal
        node.send_steal = lambda indices: steal(self._whole_files(node, indices))

    def _whole_files(self, node: WorkerController, indices: Sequence[int]) -> Sequence[int]:
        """Without what belongs to the file of which the node keeps some, where there are others."""
        before = self.node2pending[node][-len(indices) - 1]
        for number, (one, other) in enumerate(pairwise([before, *indices])):
            if self._file(one) != self._file(other):
                return indices[number:]
        return indices

    def _file(self, index: int) -> str:
        assert self.collection
        return self.collection[index].partition("::")[0]

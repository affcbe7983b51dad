"""A slot whose tenant is a user of its own: what holds on Fargate, where no namespaces can be made."""

import os

from pytest_fargate_sandbox.server.protocol import encoded
from pytest_fargate_sandbox.server.slots import key_rings, owned_processes, shared_memory
from pytest_fargate_sandbox.server.slots.ground import PATIENCE_SEC, Ground
from pytest_fargate_sandbox.server.slots.shared_places import Share, SharedPlaces
from pytest_fargate_sandbox.server.thread_rights import as_owner_of_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ContextManager

    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
    from pytest_fargate_sandbox.server.slots.births import Births


class UserGround(Ground):
    isolation = "user"
    is_ours = False

    def __init__(self, number: int, root: bytes, uids: range, births: "Births", places: SharedPlaces) -> None:
        """The first of ``uids`` is nobody's: who ends processes is that user, whom no tenant may signal."""
        Ground.__init__(self, number, root)
        self._spare = uids[0]
        self.uid = self.gid = uids[number + 1]
        self.user = "slot%d" % number
        self.births = births
        self._share = Share(places, self.uid)
        self._rings: "list[int]" = []

    def as_owner(self) -> "ContextManager[None]":
        return as_owner_of_files(self.uid, self.gid)

    def furnish(self) -> None:
        Ground.furnish(self)
        os.chown(self.gate, 0, self.gid)
        os.chmod(self.gate, 0o710)
        for directory in (encoded(self.home), encoded(self.tmp)):
            os.chown(directory, self.uid, self.gid)

    def end_processes(self, trees: "list[ProcessTree]") -> int:  # noqa: ARG002
        return len(owned_processes.end_all(self.uid, self._spare, PATIENCE_SEC))

    def empty(self) -> None:
        shared_memory.remove_all(self.uid, self._spare)
        self._rings = key_rings.clear(self.uid)
        self._share.remove()
        self.furnish()

    def what_is_left(self) -> str:
        processes = sum(1 for _ in owned_processes.processes_of(self.uid))
        objects = len(shared_memory.objects_of(self.uid))
        found = [(processes, "processes"), (objects, "System V objects"), (len(self._rings), "key rings")]
        return ", ".join("%d %s" % (count, what) for count, what in found if count)

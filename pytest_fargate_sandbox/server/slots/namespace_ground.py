"""A slot whose tenant has namespaces of his own beside a user of his own."""

from pytest_fargate_sandbox.server.slots.bubblewrap import Bubblewrap, Holder
from pytest_fargate_sandbox.server.slots.user_ground import UserGround

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
    from pytest_fargate_sandbox.server.slots.births import Births
    from pytest_fargate_sandbox.server.slots.shared_places import SharedPlaces


class NamespaceGround(UserGround):
    isolation = "namespace"

    def __init__(
        self, number: int, root: bytes, uids: range, births: "Births", places: "SharedPlaces", bubblewrap: Bubblewrap
    ) -> None:
        UserGround.__init__(self, number, root, uids, births, places)
        self._bubblewrap = bubblewrap
        self._holder: "Holder | None" = None

    def open(self, has_network: bool) -> None:
        self._holder = Holder(self._bubblewrap, self.uid, [self.home, self.tmp], has_network)
        self.namespaces = self._holder.namespaces

    def end_processes(self, trees: "list[ProcessTree]") -> int:
        if self._holder:
            self._holder.close()
            self._holder, self.namespaces = None, ()
        return UserGround.end_processes(self, trees)

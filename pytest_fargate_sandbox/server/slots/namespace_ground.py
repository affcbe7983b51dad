"""A slot whose tenant has namespaces of his own beside a user of his own."""

from pytest_fargate_sandbox.server.slots.bubblewrap import Bubblewrap, Holder
from pytest_fargate_sandbox.server.slots.user_ground import UserGround

TYPE_CHECKING = False
if TYPE_CHECKING:
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

    def namespaces(self) -> "tuple[int, ...]":
        return self._holder.namespaces() if self._holder else ()

    def empty(self) -> None:
        """When no request is under way any more that could use what they are known by."""
        if self._holder:
            self._holder.close()
            self._holder = None
        UserGround.empty(self)

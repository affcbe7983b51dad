"""What a slot stands on: its directories, and what keeps its tenant in them."""

import contextlib
import os

from pytest_fargate_sandbox.server.commands.process_tree import Forest
from pytest_fargate_sandbox.server.protocol import decoded, encoded
from pytest_fargate_sandbox.server.slots import emptying

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ContextManager, Iterator

    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
    from pytest_fargate_sandbox.server.slots.births import Births

PATIENCE_SEC = 30.0
"""So long the processes of a slot may take to die."""


class Ground:
    """A directory for each slot, and nothing between them: what is to be had everywhere."""

    isolation = "none"
    is_ours = True
    """Whether its tenant has the server's own rights."""

    births: "Births | None" = None
    """Where the tenant's commands come from, if not from the server itself."""

    def __init__(self, number: int, root: bytes) -> None:
        gate = os.path.join(root, b"%d" % number)
        self.gate = gate
        """In front of what is the tenant's, who may open that to all, and not this."""
        self.home = decoded(os.path.join(gate, b"home"))
        self.tmp = decoded(os.path.join(gate, b"tmp"))
        self.uid, self.gid, self.user = os.geteuid(), os.getegid(), "root" if os.geteuid() == 0 else "sandbox"

    def namespaces(self) -> "tuple[int, ...]":
        """Descriptors of those that his commands are born into; they may have to be waited for."""
        return ()

    def as_owner(self) -> "ContextManager[None]":
        """What this thread does with files, it does as the tenant."""
        return _no_other()

    def furnish(self) -> None:
        """Nothing is in it, and it is the tenant's."""
        os.makedirs(self.gate, 0o700, exist_ok=True)
        emptying.empty(self.gate)
        for directory in (encoded(self.home), encoded(self.tmp)):
            os.mkdir(directory, 0o700)

    def open(self, has_network: bool) -> None:
        """A lease begins, in which the tenant may reach the network or not."""

    def end_processes(self, trees: "list[ProcessTree]") -> int:
        """End what the tenant has running: of his commands, what can be told to be theirs. How many would not."""
        forest = Forest(trees)
        forest.kill(PATIENCE_SEC)
        return len(forest.members())

    def empty(self) -> None:
        """Take away what he left."""
        self.furnish()

    def what_is_left(self) -> str:
        """What of the tenant's is still there, as far as that can be seen; nothing, if it is clean."""
        return ""


@contextlib.contextmanager
def _no_other() -> "Iterator[None]":
    yield

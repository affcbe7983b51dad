"""Who has a slot for the time of one lease: what runs as him, and what is being done for him."""

import contextlib
import threading

from pytest_fargate_sandbox.server.commands.command_user import CommandUser
from pytest_fargate_sandbox.server.commands.process_tree import Forest
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.slots.ground import Ground

_LEAVING_SEC = 5.0
_MANY = 100


class Tenant(CommandUser):
    """Runs commands and has files as the slot's own user."""

    def __init__(self, ground: "Ground", lease: str) -> None:
        self.lease = lease
        self.uid, self.gid = ground.uid, ground.gid
        self.groups = [ground.gid]
        self.name = ground.user
        self.home = ground.home
        self.shell = "/bin/sh"
        self.births = ground.births
        self._ground = ground
        self.trees: "list[ProcessTree]" = []
        self._many = _MANY
        self._is_over = False
        self._served: "set[Exchange]" = set()
        self._changed = threading.Condition()

    def has_begun(self, tree: "ProcessTree") -> None:
        """Of thousands of commands few have left something: the others are forgotten, each time that they are many."""
        with self._changed:
            self.trees.append(tree)
            if len(self.trees) > self._many:
                self.trees[:] = Forest(self.trees).living()
                self._many = max(_MANY, 2 * len(self.trees))

    def namespaces(self) -> "tuple[int, ...]":
        return self._ground.namespaces()

    @property
    def is_ours(self) -> bool:
        return self._ground.is_ours

    def environment(self) -> "dict[bytes, bytes]":
        environment = CommandUser.environment(self)
        environment[b"TMPDIR"] = encoded(self._ground.tmp)
        return environment

    @contextlib.contextmanager
    def serving(self, exchange: "Exchange", of_files: bool) -> "Iterator[None]":
        """While a request of this lease is answered; what it does with files is done as the tenant."""
        with self._changed:
            if self._is_over:
                raise gone()
            self._served.add(exchange)
        try:
            if of_files:
                with self._ground.as_owner():
                    yield
            else:
                yield
        finally:
            with self._changed:
                self._served.discard(exchange)
                self._changed.notify_all()

    def leave(self) -> None:
        """No request in his name is answered from now on, and those that are being answered break."""
        with self._changed:
            self._is_over = True
            for exchange in self._served:
                exchange.give_up()

    def has_left(self) -> bool:
        """Whether all of them have ended, for which there is some time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._served, _LEAVING_SEC)


def gone(why: str = "") -> Failure:
    if why:
        return Failure("slot_gone", "the slot was taken from its lease: %s" % why)
    return Failure("slot_gone", "the slot was given back, or taken from its lease")

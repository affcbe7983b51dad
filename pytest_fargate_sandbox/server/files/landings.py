"""Which upload has reached its place: one that is sent again, since its connection broke, lands once all the same.

The attempt that broke may still be here, whole, about to be moved; or stuck in the connection, to come when its client
has long gone on. Each attempt stages for itself, and whichever is first at the last step, the move, is the only one.
"""

import threading
from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Land = Callable[[Callable[[], None]], None]
    """Does the last step of an upload, the one that is seen, or finds that it was done."""

_REMEMBERED = 1024
"""Far more than can still be on their way: each thread of a client makes its attempts one behind the other."""


class Landing:
    """One upload, however often it is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = False

    def once(self, move: "Callable[[], None]") -> None:
        """``move``, unless an earlier attempt has; one that is about to is waited for."""
        with self._lock:
            if not self.done:
                move()
                self.done = True


def at_once(move: "Callable[[], None]") -> None:
    """For what nobody sends again."""
    move()


_lock = threading.Lock()
_known: "OrderedDict[str, Landing]" = OrderedDict()


def landing_of(upload_id: str) -> Landing:
    """What all attempts with this id share; without an id, each is its own."""
    if not upload_id:
        return Landing()
    with _lock:
        landing = _known.pop(upload_id, None) or Landing()
        _known[upload_id] = landing
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
        return landing

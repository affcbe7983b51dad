"""Those who are telling clients of their commands: a server that is stopped lets them come to an end of it."""

import threading
import time


class LastWords:
    """``with last_words:`` around what is told, from the command's beginning to its result."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tellers = 0

    def __enter__(self) -> None:
        with self._changed:
            self._tellers += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._tellers -= 1
            self._changed.notify_all()

    def wait(self, patience: float) -> None:
        """Until all is told, or until then: a client may have stopped listening."""
        deadline = time.monotonic() + patience
        with self._changed:
            while self._tellers and self._changed.wait(deadline - time.monotonic()):
                pass

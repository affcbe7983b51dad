"""Who is connected. Nobody without the token can keep out whoever has it."""

import collections
import os
import socket
import threading

MAX_KNOWN = 256
"""Connections that have shown the token."""

MAX_STRANGERS = 128
"""Those that have not, or not yet: as many of our client's may be on their way at once when its threads begin."""

_SHARE_OF_FILES = 4


class Guests:
    """Strangers and those who are known have places of their own. Where strangers have none left, their oldest goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._strangers: "collections.OrderedDict[socket.socket, None]" = collections.OrderedDict()
        self._known: "set[socket.socket]" = set()
        # Commands need descriptors too: where they are few, most are for those who may run any.
        self._most_strangers = min(MAX_STRANGERS, max(1, os.sysconf("SC_OPEN_MAX") // _SHARE_OF_FILES))

    def welcome(self, connection: socket.socket) -> None:
        with self._lock:
            self._strangers[connection] = None
            is_crowded = len(self._strangers) > self._most_strangers
        if is_crowded:
            self.turn_away_oldest()

    def turn_away_oldest(self) -> None:
        """Hang up on the stranger who is here longest. His own thread closes the socket, when he has left."""
        with self._lock:
            if self._strangers:
                connection, _ = self._strangers.popitem(last=False)
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # He was faster.

    def recognise(self, connection: socket.socket) -> bool:
        """This one has the token: whether he may stay. A stranger who was turned away a moment ago may not."""
        with self._lock:
            if connection in self._known:
                return True
            if connection not in self._strangers or len(self._known) >= MAX_KNOWN:
                return False
            del self._strangers[connection]
            self._known.add(connection)
            return True

    def leave(self, connection: socket.socket) -> None:
        with self._lock:
            self._strangers.pop(connection, None)
            self._known.discard(connection)

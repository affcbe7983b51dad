"""What engine, launcher and holders say to each other: one JSON object a packet, with descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

Message = dict[str, Any]

LARGEST = 400_000
"""More than the kernel takes in one packet; a task definition has 64 KiB."""
_MOST_DESCRIPTORS = 4


class Channel:
    """One end of a socket pair on which whole messages travel, in order."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(here), cls(there)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message, *descriptors: int) -> None:
        """Raises OSError where the other side is gone."""
        packet = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        if descriptors:
            socket.send_fds(self.socket, [packet], list(descriptors))
        else:
            self.socket.send(packet)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, which are now ours to close; None where the other side is gone.

        Never waits, but raises BlockingIOError: epoll may tell of a descriptor which another thread has closed since,
        and which a new channel has now.
        """
        try:
            packet, descriptors, _, _ = socket.recv_fds(self.socket, LARGEST, _MOST_DESCRIPTORS, socket.MSG_DONTWAIT)
        except ConnectionResetError:
            return None
        if not packet:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return json.loads(packet.decode("utf-8", "surrogatepass")), descriptors

    def end(self) -> None:
        """Tell the other side that nothing more will come; what it still says can be heard."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

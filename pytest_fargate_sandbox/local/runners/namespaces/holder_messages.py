"""What engine, launcher and holders say to each other: one JSON object a packet, with descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from pytest_fargate_sandbox.leaves.sockets import with_last_words

Message = dict[str, Any]

_PACKET = 100_000
"""What the kernel surely takes at once. More goes beside the packet, in a file in memory."""
_MOST_DESCRIPTORS = 4
_BESIDE = b"@"


class Channel:
    """One end of a socket pair on which whole messages travel, in order."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(here), cls(there)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message, *descriptors: int) -> None:
        """Raises OSError where the other side is gone."""
        packet = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        if len(packet) <= _PACKET:
            self._send_packet(packet, *descriptors)
            return
        with os.fdopen(os.memfd_create("message", os.MFD_CLOEXEC), "wb") as beside:
            beside.write(packet)
            beside.flush()
            self._send_packet(_BESIDE, beside.fileno(), *descriptors)

    def _send_packet(self, packet: bytes, *descriptors: int) -> None:
        if descriptors:
            socket.send_fds(self.socket, [packet], list(descriptors))
        else:
            self.socket.send(packet)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, which are now ours to close; None where the other side is gone.

        Never waits, but raises BlockingIOError: epoll may tell of a descriptor which another thread has closed since,
        and which a new channel has now.
        """
        packet, descriptors, _, _ = with_last_words(
            lambda: socket.recv_fds(self.socket, _PACKET, _MOST_DESCRIPTORS, socket.MSG_DONTWAIT)
        )
        if not packet:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if packet == _BESIDE:
            with os.fdopen(descriptors.pop(0), "rb") as beside:
                beside.seek(0)
                packet = beside.read()
        return json.loads(packet.decode("utf-8", "surrogatepass")), descriptors

    def end(self) -> None:
        """Tell the other side that nothing more will come; what it still says can be heard."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

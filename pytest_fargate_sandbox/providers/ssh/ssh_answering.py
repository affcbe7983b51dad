"""A transport whose thread, which is the only one that reads, never waits to write.

SSH has windows for data and none for answers. In paramiko the thread that reads also writes what it has to answer:
that a channel is closed, that a request is granted. When data fills both ways between two such ends, each of them can
come to wait until the other reads, for ever. OpenSSH reads whatever happens; so does this.
"""

from __future__ import annotations

import collections
import select
import threading
from typing import TYPE_CHECKING

import paramiko

from pytest_fargate_sandbox.providers.ssh.ssh_stream import BROKEN

if TYPE_CHECKING:
    import socket

    from paramiko.packet import Packetizer

_MOST_ANSWERS = 4096
_JOIN_SECONDS = 5.0


class AnsweringTransport(paramiko.Transport):
    """What its thread has to say is sent at once if that does not block, and else by who may wait."""

    sock: socket.socket

    def __init__(self, sock: socket.socket, packetizer_class: type[Packetizer]) -> None:
        super().__init__(sock, packetizer_class=packetizer_class)
        self._answers: collections.deque[paramiko.Message] = collections.deque()
        self._deliverer: threading.Thread | None = None

    def end(self) -> None:
        """Wait for the threads; whoever calls this has closed the connection."""
        for thread in (self, self._deliverer):
            if thread and thread.is_alive() and thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)

    def _send_user_message(self, message: paramiko.Message) -> None:
        if threading.current_thread() is self:
            self._answer(message)
        else:
            super()._send_user_message(message)  # type: ignore[misc]
            if self._answers:
                self._deliver()

    def _send_message(self, message: paramiko.Message) -> None:
        if threading.current_thread() is self and self.clear_to_send.is_set():
            self._answer(message)
        else:  # somebody who may wait; or new keys are being made, and their messages have an order
            self.packetizer.send_message(message)

    def _parse_newkeys(self, message: paramiko.Message) -> None:
        super()._parse_newkeys(message)  # type: ignore[misc]
        self._deliver_soon()

    def _answer(self, message: paramiko.Message) -> None:
        if len(self._answers) >= _MOST_ANSWERS:
            raise paramiko.SSHException("the other side asks and takes no answers")
        self._answers.append(message)
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        """Unless somebody is sending, who does it next. Never blocks."""
        if not self.clear_to_send_lock.acquire(blocking=False):
            return
        try:
            while self._has_answers and takes_bytes(self.sock):
                self.packetizer.send_message(self._answers.popleft())
            if self._has_answers and not self._deliverer:
                self._deliverer = threading.Thread(target=self._deliver, name=f"answers of {self.name}", daemon=True)
                self._deliverer.start()
        finally:
            self.clear_to_send_lock.release()

    def _deliver(self) -> None:
        try:
            while True:
                with self.clear_to_send_lock:
                    if not self._has_answers:
                        if self._deliverer is threading.current_thread():
                            self._deliverer = None
                        return
                    self.packetizer.send_message(self._answers.popleft())
        except BROKEN:
            pass  # the transport's thread finds out by itself

    @property
    def _has_answers(self) -> bool:
        """To send now: while keys are made anew they have to wait."""
        return bool(self._answers) and self.clear_to_send.is_set()


def takes_bytes(sock: socket.socket) -> bool:
    poller = select.poll()
    try:
        poller.register(sock, select.POLLOUT)
        return bool(poller.poll(0))
    except (OSError, ValueError):
        return False  # it is closed

"""A WebSocket that is closed as the service closes each of them, now and then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from websockets.sync.server import serve

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssm.web_socket import WebSocket, WebSocketEnded

if TYPE_CHECKING:
    from websockets.sync.server import ServerConnection


def test_after_a_farewell_nothing_is_sent_and_what_came_before_it_is_there() -> None:
    def part(connection: ServerConnection) -> None:
        connection.send(b"last words")
        connection.close(1000, "Bye")

    with serve(part, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        web_socket = WebSocket(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
        assert wait_until(lambda: web_socket.receive() or None, deadline=10, what="a message") == [b"last words"]

        def never() -> None:
            web_socket.receive()

        with pytest.raises(WebSocketEnded, match="1000 Bye"):
            wait_until(never, deadline=10, what="the end")
        with pytest.raises(WebSocketEnded):
            web_socket.send(b"x")
        web_socket.close()
        server.shutdown()
        thread.join(10)

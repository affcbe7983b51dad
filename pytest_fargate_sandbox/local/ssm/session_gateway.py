"""Where clients' WebSockets come in: the part of the engine's HTTP front that becomes a data channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.error_answers import answer_json
from pytest_fargate_sandbox.local.http_server import HAND_OVER, PEER_IS_KNOWN
from pytest_fargate_sandbox.local.ssm.session_manager import CHANNEL_PATH
from pytest_fargate_sandbox.local.ssm.websocket_server import WebSocket, accept_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.local.ssm.session_manager import SessionManager

_OPENING_SEC = 15.0


def open_channel(
    sessions: SessionManager, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """Returns when the WebSocket has ended. Who it is, the token says that comes in its first message."""
    session = sessions.find(environ["PATH_INFO"].removeprefix(CHANNEL_PATH))
    if session is None:
        return answer_json(start_response, "404 Not Found", {"message": "there is no such session, or it has ended"})
    key = accept_key(environ)
    if key is None:
        return answer_json(start_response, "400 Bad Request", {"message": "a WebSocket (RFC 6455) opens here"})
    connection, reader = environ[HAND_OVER]()
    connection.settimeout(_OPENING_SEC)

    def joined() -> None:
        environ[PEER_IS_KNOWN]()
        connection.settimeout(None)

    session.serve(WebSocket(connection, reader, key), joined)
    return []

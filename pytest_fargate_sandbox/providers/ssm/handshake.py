"""What agent and client tell each other before anything else goes through a port session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.session_message import content_of

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.session_message import SessionMessage

CLIENT_VERSION = "1.2.650.0"
"""Of the official client, whose ways these are: by it the agent chooses smux, and leaves out its keep-alives."""

_OLDEST_AGENT = (3, 0, 196, 0)
"""What is not younger carries one connection, not smux."""

_LONGEST_VERSION = 40
_DONE, _UNSUPPORTED = 1, 3


def opening_frame(token: str) -> str:
    """The first frame of each WebSocket, by which it becomes a part of its session."""
    return json.dumps(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid4()),
            "TokenValue": token,
            "ClientId": str(uuid4()),
            "ClientVersion": CLIENT_VERSION,
        }
    )


def response_to(request: SessionMessage) -> bytes:
    """What to answer the agent. Raises ``TransportError`` where it wants what we cannot, or is too old."""
    content = content_of(request)
    version = str(content.get("AgentVersion", ""))[:_LONGEST_VERSION]
    if not _is_young_enough(version):
        raise TransportError(
            f"the SSM agent in the task is {version or 'of no known version'}, and only what is younger than 3.0.196.0 "
            "carries many streams: a newer platform version has it"
        )
    asked = content.get("RequestedClientActions") or []
    if not isinstance(asked, list):
        raise TransportError("the SSM agent in the task asks for actions, and its list has none of them")
    processed = [_processed(action) for action in asked]
    refused = [each["ActionType"] for each in processed if each["ActionStatus"] != _DONE]
    if refused:
        raise TransportError(
            f"the SSM agent in the task wants {', '.join(map(str, refused))[:200]} of the session, which it cannot have"
        )
    response = {"ClientVersion": CLIENT_VERSION, "ProcessedClientActions": processed, "Errors": None}
    return json.dumps(response).encode()


def _processed(action: Any) -> dict[str, Any]:
    kind = action.get("ActionType") if isinstance(action, dict) else None
    status = _DONE if kind == "SessionType" else _UNSUPPORTED
    return {"ActionType": kind, "ActionStatus": status, "ActionResult": None, "Error": ""}


def _is_young_enough(version: str) -> bool:
    parts = version.split(".")
    return all(part.isdecimal() and part.isascii() for part in parts) and tuple(map(int, parts)) > _OLDEST_AGENT

"""A session of the document AWS-StartPortForwardingSession, from the handshake on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from pytest_fargate_sandbox.leaves.session_message import Flag, PayloadType
from pytest_fargate_sandbox.local.ssm.agent.agent_channel import AgentChannel
from pytest_fargate_sandbox.local.ssm.agent.basic_port import BasicPort
from pytest_fargate_sandbox.local.ssm.agent.mux_port import MuxPort

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop

AGENT_VERSION: Final = "3.3.0.0"
_HANDSHAKE_SEC = 15.0
_BEFORE_COMPLETE_SEC = 0.02
"""The acknowledgement of the client's answer shall be there first: the official client hangs otherwise."""
_LAST_WORDS_SEC = 0.02
_FIRST_WITH_MUX = "1.1.70"
_LAST_WITH_KEEP_ALIVE = "1.2.331.0"
_LATE = "Handshake timed out. Please ensure that you have the latest version of the session manager plugin."


class PortSession:
    """Ends by ``end``, with the text that the client shall read."""

    def __init__(
        self, loop: Loop, dial: Callable[[], socket.socket | None], request: dict[str, Any], end: Callable[[str], None]
    ) -> None:
        self._loop, self._request, self._end = loop, request, end
        self._began = time.monotonic()
        self._is_answered = False
        self._carrier: MuxPort | BasicPort | None = None
        self._channel = AgentChannel(loop, dial, self._take, self._resume, lambda: end(""))
        action = {
            "ActionType": "SessionType",
            "ActionParameters": {"SessionType": "Port", "Properties": request["properties"]},
        }
        handshake = {"AgentVersion": AGENT_VERSION, "RequestedClientActions": [action]}
        self._channel.send(PayloadType.HANDSHAKE_REQUEST, json.dumps(handshake).encode())
        loop.call_later(_HANDSHAKE_SEC, self._look_at_handshake)

    def _look_at_handshake(self) -> None:
        if not self._is_answered:
            self._end(_LATE)

    def _take(self, payload_type: int, payload: bytes) -> bool:
        if payload_type == PayloadType.HANDSHAKE_RESPONSE and not self._is_answered:
            self._is_answered = True
            version = _client_version(payload)
            self._loop.call_later(_BEFORE_COMPLETE_SEC, lambda: self._complete(version))
        elif payload_type == PayloadType.FLAG:
            self._take_flag(int.from_bytes(payload[:4], "big"))
        elif payload_type == PayloadType.DATA and self._carrier is not None:
            self._carrier.receive(payload)
        return True  # also what came before the handshake was complete, and is dropped

    def _take_flag(self, flag: int) -> None:
        if flag == Flag.TERMINATE_SESSION:
            self._loop.call_later(_LAST_WORDS_SEC, lambda: self._end(""))
        elif self._carrier is not None:
            self._carrier.flag(flag)

    def _complete(self, version: str) -> None:
        taken_ns = int((time.monotonic() - self._began) * 1e9)
        complete = {"HandshakeTimeToComplete": taken_ns, "CustomerMessage": ""}
        self._channel.send(PayloadType.HANDSHAKE_COMPLETE, json.dumps(complete).encode())
        properties = self._request["properties"]
        port, broken = int(properties["portNumber"]), lambda: self._end("")
        if properties["type"] == "LocalPortForwarding" and is_at_least(version, _FIRST_WITH_MUX):
            keeps_alive = not is_newer(version, _LAST_WITH_KEEP_ALIVE)
            self._carrier = MuxPort(self._loop, self._channel, port, broken, keeps_alive=keeps_alive)
        else:
            self._carrier = BasicPort(self._loop, self._channel, port, broken)

    def _resume(self) -> None:
        if self._carrier is not None:
            self._carrier.resume()


def _client_version(payload: bytes) -> str:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    return str(answer.get("ClientVersion", "")) if isinstance(answer, dict) else ""


def is_at_least(version: str, wanted: str) -> bool:
    return version == wanted or is_newer(version, wanted)


def is_newer(version: str, other: str) -> bool:
    """Part by part, as numbers where both are, else as text: as the agent compares what is no SemVer."""
    ours, theirs = version.split("."), other.split(".")
    for mine, yours in zip(ours, theirs, strict=False):
        if mine == yours:
            continue
        if mine.isdecimal() and yours.isdecimal():
            return int(mine) > int(yours)
        return mine > yours
    return len(ours) > len(theirs)

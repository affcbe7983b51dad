"""The Session Manager's part of SSM's API; parameters and all else are moto's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.models import SimpleSystemManagerBackend
from moto.ssm.responses import SimpleSystemManagerResponse

from pytest_fargate_sandbox.local.ssm.session_manager import NotConnected

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.ssm.session_manager import Opened, SessionManager

_PORT_FORWARDING, _INTERACTIVE = "AWS-StartPortForwardingSession", "AWS-StartInteractiveCommand"
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PREFIX = "local"
"""Of the ids of sessions: the name of the user who starts them."""


class SessionsResponse(SimpleSystemManagerResponse):
    @property
    def _sessions(self) -> SessionManager:
        return cast(SessionsBackend, self.ssm_backend).sessions

    def start_session(self) -> ActionResult:
        target = self._get_param("Target")
        document = self._get_param("DocumentName") or "SSM-SessionManagerRunShell"
        kind, properties = _what_is_asked(document, self._get_param("Parameters") or {})
        try:
            opened = self._sessions.start(target, _PREFIX, kind, properties)
        except NotConnected:
            raise SSMException("TargetNotConnected", f"{target} is not connected.") from None
        return ActionResult(_told(opened))

    def resume_session(self) -> ActionResult:
        """Of a session that has ended the id alone comes back: so clients learn it."""
        session_id = self._get_param("SessionId")
        try:
            opened = self._sessions.resume(session_id)
        except KeyError:
            raise _no_such(session_id) from None
        return ActionResult(_told(opened) if opened is not None else {"SessionId": session_id})

    def terminate_session(self) -> ActionResult:
        session_id = self._get_param("SessionId")
        try:
            self._sessions.terminate(session_id)
        except KeyError:
            raise _no_such(session_id) from None
        return ActionResult({"SessionId": session_id})

    def get_connection_status(self) -> ActionResult:
        target = self._get_param("Target")
        status = "connected" if self._sessions.is_connected(target) else "notconnected"
        return ActionResult({"Target": target, "Status": status})


class SessionsBackend(SimpleSystemManagerBackend):
    """One region's SSM; sessions are the whole engine's."""

    def __init__(self, region_name: str, account_id: str, sessions: SessionManager) -> None:
        super().__init__(region_name, account_id)
        self.sessions = sessions

    @property
    def url_paths(self) -> dict[str, Any]:
        """moto looks for its routes beside the class's module; ours leads to our own answers."""
        return {"/$": SessionsResponse.dispatch}


def _what_is_asked(document: str, parameters: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
    """The kind of session and its properties, as the agent takes them."""
    known = {_PORT_FORWARDING: {"portNumber": "80", "localPortNumber": "0"}, _INTERACTIVE: {"command": ""}}
    if document not in known:
        there = " and ".join(known)
        raise SSMException("InvalidDocument", f"The embedded Fargate has the documents {there}, not {document}.")
    unknown = sorted(set(parameters) - set(known[document]))
    if unknown:
        raise SSMException("InvalidParameters", f"{document} takes no parameter {', '.join(unknown)}.")
    given = {**known[document], **{name: values[0] for name, values in parameters.items() if values}}
    if document == _INTERACTIVE:
        if not given["command"]:
            raise SSMException("InvalidParameters", f"{document} takes a command.")
        return "InteractiveCommands", given
    if not _PORT.fullmatch(given["portNumber"]) or int(given["portNumber"]) > 65535:
        raise SSMException("InvalidParameters", f"{given['portNumber']!r} is no portNumber.")
    return "Port", {**given, "type": "LocalPortForwarding"}


def _told(opened: Opened) -> dict[str, str]:
    return {"SessionId": opened.session_id, "TokenValue": opened.token, "StreamUrl": opened.stream_url}


def _no_such(session_id: str) -> SSMException:
    return SSMException("DoesNotExistException", f"Session {session_id} does not exist.")

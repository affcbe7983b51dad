"""Which agents can be reached, which sessions there are, and when the service itself breaks or ends them."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.side_by_side import side_by_side
from pytest_fargate_sandbox.local.ssm.managed_session import ManagedSession

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.faults import Faults
    from pytest_fargate_sandbox.local.ssm.agent_link import AgentLink
    from pytest_fargate_sandbox.local.ssm.session_times import SessionTimes

CHANNEL_PATH = "/v1/data-channel/"
_TICK_SEC = 0.02
_MOST_ENDED = 10_000


class NotConnected(Exception):
    """No agent answers at that target."""


@dataclass(frozen=True)
class Opened:
    """What a client needs for its data channel."""

    session_id: str
    token: str
    stream_url: str


class SessionManager:
    """From any thread."""

    def __init__(self, port: int, faults: Faults, times: SessionTimes) -> None:
        self._port, self._faults, self._times = port, faults, times
        self._lock = threading.Lock()
        self._agents: dict[str, AgentLink] = {}
        self._sessions: dict[str, ManagedSession] = {}
        self._ended: dict[str, None] = {}
        self._is_ticking = False

    # --- agents ------------------------------------------------------------------------------------------------------

    def agent_connected(self, target: str, agent: AgentLink) -> None:
        with self._lock:
            self._agents[target] = agent

    def container_ended(self, target: str) -> None:
        """It takes its agent along, and the sessions with it."""
        with self._lock:
            agent = self._agents.pop(target, None)
            ending = [session for session in self._sessions.values() if session.agent is agent]
        if agent is not None:
            agent.close()
        _end_all(ending)

    def is_connected(self, target: str) -> bool:
        agent = self._agents.get(target)
        return agent is not None and agent.is_connected

    def session_ended(self, session_id: str, output: str) -> None:
        """So its agent says."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.end_by_itself(output)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def start(self, target: str, prefix: str, kind: str, properties: dict[str, Any]) -> Opened:
        """Raises ``NotConnected``."""
        agent = self._agents.get(target)
        if agent is None or not agent.is_connected:
            raise NotConnected(target)
        session = ManagedSession(f"{prefix}-{secrets.token_hex(9)[:17]}", agent, self._faults, self._forget)
        with self._lock:
            self._sessions[session.id] = session
            if not self._is_ticking:
                self._is_ticking = True
                threading.Thread(target=self._tick, name="ssm-clock", daemon=True).start()
        try:
            session.start({"kind": kind, "properties": properties})
        except OSError:
            session.end("")
            raise NotConnected(target) from None
        return Opened(session.id, session.token, self._url(session.id))

    def resume(self, session_id: str) -> Opened | None:
        """None where it has ended; raises ``KeyError`` where there was none."""
        session = self._sessions.get(session_id)
        if session is not None:
            return Opened(session_id, session.renew_token(), self._url(session_id))
        if session_id in self._ended:
            return None
        raise KeyError(session_id)

    def terminate(self, session_id: str) -> None:
        """Harmless where it has ended; raises ``KeyError`` where there was none."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.end("")
        elif session_id not in self._ended:
            raise KeyError(session_id)

    def find(self, session_id: str) -> ManagedSession | None:
        return self._sessions.get(session_id)

    def close(self) -> None:
        _end_all(list(self._sessions.values()))

    def _url(self, session_id: str) -> str:
        return f"ws://127.0.0.1:{self._port}{CHANNEL_PATH}{session_id}?role=publish_subscribe&cell-number=AAEAAQ"

    def _forget(self, session: ManagedSession) -> None:
        with self._lock:
            self._sessions.pop(session.id, None)
            self._ended[session.id] = None
            if len(self._ended) > _MOST_ENDED:
                del self._ended[next(iter(self._ended))]

    # --- what the service does by the clock --------------------------------------------------------------------------

    def _tick(self) -> None:
        cuts: dict[ManagedSession, tuple[float, bool]] = {}
        while True:
            with self._lock:
                sessions = list(self._sessions.values())
                self._is_ticking = bool(sessions)
            if not sessions:
                return
            now = time.monotonic()
            for session in sessions:
                self._break_by_age(session, now)
            self._cut(sessions, cuts, now)
            time.sleep(_TICK_SEC)

    def _break_by_age(self, session: ManagedSession, now: float) -> None:
        if now - session.active_at > self._times.idle_sec:
            session.end("Session timed out: it was idle for too long.")
        elif now - session.client_since > self._times.channel_sec:
            session.cut_client(politely=True)
        elif now - session.agent_since > self._times.channel_sec:
            session.cut_agent()

    def _cut(self, sessions: list[ManagedSession], cuts: dict[ManagedSession, tuple[float, bool]], now: float) -> None:
        """The fault: in turn the client's connection and the agent's."""
        every = self._faults.value("ssm-cut")
        if not every:
            cuts.clear()
            return
        for gone in cuts.keys() - set(sessions):
            del cuts[gone]
        for session in sessions:
            due, is_clients = cuts.setdefault(session, (now + every, True))
            if now >= due:
                session.cut_client() if is_clients else session.cut_agent()
                cuts[session] = (now + every, not is_clients)


def _end_all(sessions: list[ManagedSession]) -> None:
    """Side by side: each may have a client that takes its time."""
    side_by_side([partial(session.end, "") for session in sessions], name="ssm-end")

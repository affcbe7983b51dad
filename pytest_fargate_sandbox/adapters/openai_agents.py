"""Sandboxes for agents of the OpenAI Agents SDK.

    run_config = RunConfig(sandbox=SandboxRunConfig(client=FargateSandboxClient()))
    await Runner.run(SandboxAgent(name="coder", model=...), "Fix the tests.", run_config=run_config)

It takes the SDK, which ``pip install 'pytest-fargate-sandbox[openai-agents]'`` brings. See docs/openai-agents.md.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.adapters.harness_version import check_version, missing

try:
    check_version("openai-agents", "openai-agents")
    from agents.sandbox import Manifest
    from agents.sandbox._mount_security import redact_mount_error_data
    from agents.sandbox.session.manager import Instrumentation
    from agents.sandbox.session.sandbox_client import BaseSandboxClient
    from agents.sandbox.snapshot import resolve_snapshot
except ModuleNotFoundError as error:
    missing(error, "openai-agents", "3.10")

from pytest_fargate_sandbox.adapters.agents_errors import OURS, start_error
from pytest_fargate_sandbox.adapters.agents_options import (
    FargateSandboxClientOptions,
    FargateSandboxSessionState,
    FargateTimeouts,
    Wishes,
)
from pytest_fargate_sandbox.adapters.agents_places import Places
from pytest_fargate_sandbox.adapters.agents_session import FargateSandboxSession

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from agents.sandbox.session import SandboxSession, SandboxSessionState
    from agents.sandbox.session.dependencies import Dependencies
    from agents.sandbox.snapshot import SnapshotBase, SnapshotSpec
    from typing_extensions import Self

    from pytest_fargate_sandbox.adapters.agents_places import Holding

__all__ = [
    "FargateSandboxClient",
    "FargateSandboxClientOptions",
    "FargateSandboxSession",
    "FargateSandboxSessionState",
    "FargateTimeouts",
]

_log = logging.getLogger("pytest_fargate_sandbox.adapters")


class FargateSandboxClient(BaseSandboxClient[FargateSandboxClientOptions]):
    """Makes sessions in tasks on Fargate, or on the embedded engine, where nothing else is said.

    ``settings`` are options of docs/options.md by name, for all of its sandboxes: ``{"cluster": "prod"}``.
    """

    backend_id = "fargate"
    supports_default_options = True

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        instrumentation: Instrumentation | None = None,
        dependencies: Dependencies | None = None,
    ) -> None:
        self._places = Places(settings or {})
        self._instrumentation = instrumentation if instrumentation is not None else Instrumentation()
        self._dependencies = dependencies

    @redact_mount_error_data
    async def create(
        self,
        *,
        snapshot: SnapshotSpec | SnapshotBase | None = None,
        manifest: Manifest | None = None,
        options: FargateSandboxClientOptions | None = None,
    ) -> SandboxSession:
        """A session in the sandbox that ``options.name`` names, or in a new one. Cancelled, it leaves no task."""
        options = options or FargateSandboxClientOptions()
        manifest = self._validate_manifest_for_create(manifest or Manifest())
        session_id = uuid.uuid4()
        state = FargateSandboxSessionState(
            session_id=session_id,
            manifest=manifest,
            snapshot=resolve_snapshot(snapshot, str(session_id)),
            sandbox_name=options.name or f"agents-{session_id.hex[:12]}",
            exposed_ports=options.ports,
            **{name: getattr(options, name) for name in Wishes.model_fields},
        )
        find = self._places.get_or_make if options.name else self._places.make
        return self._session(state, await _started(find(state), state))

    @redact_mount_error_data
    async def resume(self, state: SandboxSessionState) -> SandboxSession:
        """The session again. With ``pause_on_exit`` in the sandbox that it has left, as that is; else, or where that is
        gone, in a new one of its name, which ``start`` fills from the snapshot, or as the manifest says."""
        if not isinstance(state, FargateSandboxSessionState):
            raise TypeError(f"FargateSandboxClient.resume: this is the state of another client: {type(state).__name__}")
        state.assert_path_grants_rebound()
        holding = await _started(self._places.again(state), state)
        if holding.is_filled and state.mount_authority_rebound:
            await holding.let_go(keep=False)  # what is mounted there is with credentials that count no more
            holding = await _started(self._places.make(state), state)
        return self._session(state, holding, is_resumed=True)

    async def delete(self, session: SandboxSession) -> SandboxSession:
        """End the session's sandbox, or with ``pause_on_exit`` let go of it."""
        inner = session._inner
        if not isinstance(inner, FargateSandboxSession):
            raise TypeError(f"FargateSandboxClient.delete: this is a session of another client: {type(inner).__name__}")
        try:
            await inner.shutdown()
        except Exception as error:
            _log.warning("the sandbox %s was not ended as it should: %s", inner.sandbox_name, error)
        return session

    def deserialize_session_state(self, payload: dict[str, object]) -> SandboxSessionState:
        return self._deserialize_session_state_payload(payload, FargateSandboxSessionState)

    async def close(self) -> None:
        """Nothing: what it has made ends with its sessions, and at the latest with the process."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _session(
        self, state: FargateSandboxSessionState, holding: Holding, *, is_resumed: bool = False
    ) -> SandboxSession:
        inner = FargateSandboxSession(state, holding, self._places.again, is_resumed=is_resumed)
        return self._wrap_session(inner, instrumentation=self._instrumentation)


async def _started(starting: Coroutine[Any, Any, Any], state: FargateSandboxSessionState) -> Any:
    try:
        return await starting
    except OURS as error:
        raise start_error(error, Path(state.manifest.root)) from error

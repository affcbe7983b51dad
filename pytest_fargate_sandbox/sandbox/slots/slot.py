"""A slot: one of many clean workspaces in one task."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.exec.command_arguments import command_fields, run_fields
from pytest_fargate_sandbox.sandbox.slots.tool_result import DEFAULT_TIMEOUT_SEC, ToolResult
from pytest_fargate_sandbox.sandbox.starts import Starts
from pytest_fargate_sandbox.sandbox.workspace import Workspace
from pytest_fargate_sandbox.server.protocol import Nothing, new_command_id
from pytest_fargate_sandbox.server.slots.slot_protocol import ResetSlot, SlotRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from pytest_fargate_sandbox.leaves.results import Endpoint, ExecResult, OutsideEndpoint
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.machine import Machine
    from pytest_fargate_sandbox.sandbox.slots.slot_tools import SlotTools
    from pytest_fargate_sandbox.sandbox.starting import Started
    from pytest_fargate_sandbox.server.slots.slot_protocol import LeasedSlot


class Slot(Workspace):
    """Commands, files and terminals as a sandbox has them, in a workspace of its own.

    ``home`` is that workspace: relative paths, HOME and TMPDIR are the slot's. Commands run one at a time, one after
    the other, unless the slot was leased otherwise; what is spawned, and terminals, run beside them. ``isolation``
    says what stands between slots: see docs/slots.md.
    """

    def __init__(
        self,
        machine: Machine,
        lease: str,
        leased: LeasedSlot,
        isolation: str,
        *,
        network: str = "machine",
        one_at_a_time: bool = True,
        exec_timeout_sec: float | None = None,
    ) -> None:
        super().__init__(machine, exec_timeout_sec=exec_timeout_sec)
        self.number = leased.number
        self.home = leased.home
        self.user = leased.user
        self.isolation = isolation
        self.network = network
        """Whose it has: the machine's, or ``"none"``."""
        self._task_arn = machine.task_arn
        self._lease = lease
        self._tools: SlotTools | None = None
        self._turn = threading.RLock() if one_at_a_time else None
        self._is_given_back = False
        self._starts = Starts(self._through, empty=True)

    @property
    def machine(self) -> Machine:
        """The one that it is in."""
        return self._machine

    def exec(self, *arguments: Any, **options: Any) -> ExecResult:
        """As ``Workspace.exec``, when its turn has come."""
        with self.turn():
            return super().exec(*arguments, **options)

    def asked(self, command: str, timeout: float, max_output_bytes: int) -> SlotRun:
        """A command of this slot that is asked for together with others. Raises ``ValueError``."""
        return SlotRun(
            id=new_command_id(),
            lease=self._lease,
            **command_fields(command, self.home, None, None),
            **run_fields(timeout, max_output_bytes, None, None),
        )

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """While it is ours, no other command of the slot is begun, unless it was leased otherwise."""
        with self._turn or contextlib.nullcontext():
            yield

    def tool(
        self, name: str, args: Mapping[str, Any], timeout: float = DEFAULT_TIMEOUT_SEC, execution_id: str | None = None
    ) -> ToolResult:
        """Carry out a tool call of a model: bash, bash_stateful, read_file, write_file, tmux. See docs/slots.md.

        What the tool met is in the result; trouble of the sandbox is raised. The same ``execution_id`` with the same
        arguments is carried out once.
        """
        self._client(self._machine.running())  # raises if it was given back
        return self.tools.call(name, args, timeout, execution_id)

    @property
    def tools(self) -> SlotTools:
        if self._tools is None:
            from pytest_fargate_sandbox.sandbox.slots.slot_tools import SlotTools

            self._tools = SlotTools(self)
        return self._tools

    def reset(self) -> None:
        """End all that runs in it, take away all that was left, and make sure of both: it is as new, and still ours."""
        self.abandon_terminals()
        self._client(self._machine.running())  # raises if it was given back
        self._reset(keep=True)
        self._starts.forget()
        if self._tools:
            self._tools.forget()

    def give_back(self) -> None:
        """The same, and it is anybody's. Twice is as once, and so it is where the machine is gone."""
        if self._is_given_back:
            return
        self._is_given_back = True
        self.abandon_terminals()
        if self._machine.is_running and self._machine.task_arn == self._task_arn:
            self._reset(keep=False)

    def _reset(self, *, keep: bool) -> None:
        """Asked in the machine's name: what is asked in the slot's is broken off by it."""
        started = self._machine.running()
        client = super()._client(started)
        request = ResetSlot(lease=self._lease, keep=keep)
        started.lifeline.through(lambda: client.ask(request, Nothing))

    # --- what it shares with its machine ----------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return not self._is_given_back and self._machine.is_running and self._machine.task_arn == self._task_arn

    def start(self, *, force_build: bool = False, outside_endpoints: Iterable[OutsideEndpoint] | None = None) -> None:  # noqa: ARG002
        """It runs: it was leased from a machine that does."""
        self._machine.running()

    stop = give_back

    def resolve_outside_endpoint(self, url: str) -> str:
        return self._machine.resolve_outside_endpoint(url)

    @property
    def task_arn(self) -> str | None:
        return self._task_arn

    @property
    def task_id(self) -> str:
        """The machine's name, and which slot of it this is."""
        return f"{self._machine.task_id}-slot{self.number}"

    @property
    def image(self) -> str:
        return self._machine.image

    @property
    def cause(self) -> str:
        """Why the machine's task ended, as ``EcsFargateSandbox.cause``."""
        return self._machine.cause

    def expose(self, port: int) -> Endpoint:
        """All slots share the machine's ports."""
        return self._machine.expose(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()

    def __repr__(self) -> str:
        return f"<slot {self.number} of {self._machine!r}>"

    def _client(self, started: Started) -> ExecClient:
        if self._is_given_back:
            raise SandboxError(f"slot {self.number} was given back", kind="slot_gone")
        return super()._client(started).in_slot(self._lease, self.home)

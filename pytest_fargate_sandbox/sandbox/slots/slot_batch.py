"""Many tool calls over many slots, at once: each with a result or an error of its own, in the order of the calls.

The commands of a machine's slots travel in one request. What else slots are asked for goes call by call.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.past_command import RunningCommand
from pytest_fargate_sandbox.sandbox.slots.slot import Slot
from pytest_fargate_sandbox.sandbox.slots.tool_result import DEFAULT_TIMEOUT_SEC, ToolRequest, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.machine import Machine
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotRun

MOST_AT_ONCE = 64


def batch(requests: Iterable[Any]) -> list[ToolResult | SandboxError]:
    """Slots run side by side; the calls of one slot in their order."""
    return _Batch([_request_of(request) for request in requests]).results()


class _Batch:
    def __init__(self, asked: list[ToolRequest]) -> None:
        self._asked = asked
        self._results: dict[int, ToolResult | SandboxError] = {}

    def results(self) -> list[ToolResult | SandboxError]:
        by_slot: dict[Slot, list[int]] = {}
        for index, request in enumerate(self._asked):
            by_slot.setdefault(request.slot, []).append(index)
        together: dict[Machine, list[int]] = {}
        with ThreadPoolExecutor(MOST_AT_ONCE, "batch") as pool:
            work = []
            for slot, indices in by_slot.items():
                if slot.is_running and slot.tools.are_plain([self._asked[index] for index in indices]):
                    together.setdefault(slot.machine, []).extend(indices)
                else:
                    work.append(pool.submit(self._call_by_call, indices))
            machines = list(together.items())
            work += [pool.submit(self._together, *each) for each in machines[1:]]
            for own in machines[:1]:  # here, where Ctrl-C ends what runs
                self._together(*own)
            for each in work:
                each.result()
        return [self._results[index] for index in range(len(self._asked))]

    def _call_by_call(self, indices: list[int]) -> None:
        for index in indices:
            self._results[index] = _outcome(self._asked[index])

    def _together(self, machine: Machine, indices: list[int]) -> None:
        """Slots take their turns in one order: of two batches over the same slots neither waits for the other's."""
        first = {self._asked[index].slot: self._asked[index].execution_id for index in reversed(indices)}
        with contextlib.ExitStack() as turns:
            for slot in sorted(first, key=lambda slot: (slot.number, id(slot))):
                turns.enter_context(slot.tools.turn(first[slot]))
                turns.enter_context(slot.turn())
            begun = {index: self._asked[index].slot.tools.begun(self._asked[index]) for index in indices}
            self._results.update({index: each for index, each in begun.items() if isinstance(each, ToolResult)})
            self._run(machine, {index: each for index, each in begun.items() if not isinstance(each, ToolResult)})

    def _run(self, machine: Machine, runs: dict[int, SlotRun]) -> None:
        places = list(runs)
        remembered = {index: RunningCommand(str(run.command)) for index, run in runs.items()}
        for index, asked in runs.items():
            asked.env = dict(remembered[index].environment(asked.env) or {})
        lost: SandboxError | None = None
        outcomes: dict[int, ExecResult | SandboxError] = {}
        try:
            started = machine.running()
            run = started.mode.client(started.connection).run_many(list(runs.values()))
            outcomes = run.outcomes
            started.lifeline.through(run.to_end)
        except SandboxError as error:
            lost = error
        for place, index in enumerate(places):
            outcome = outcomes.get(place, lost)
            assert outcome is not None
            self._results[index] = self._told(index, remembered[index], outcome)

    def _told(
        self, index: int, running: RunningCommand, outcome: ExecResult | SandboxError
    ) -> ToolResult | SandboxError:
        request = self._asked[index]
        slot = request.slot
        if isinstance(outcome, SandboxError):
            slot.history.append(running.cut_by(outcome))
            return outcome
        slot.history.append(running.ended(outcome))
        try:
            slot.machine.running().lifeline.checked(outcome)
        except SandboxError as error:
            return error
        return slot.tools.ended(request, outcome)


def _outcome(request: ToolRequest) -> ToolResult | SandboxError:
    try:
        return request.slot.tool(request.tool, request.args, request.timeout, request.execution_id)
    except SandboxError as error:
        return error


def _request_of(request: Any) -> ToolRequest:
    """A ``ToolRequest``, or a slot and a command, and perhaps the command's time-out."""
    if isinstance(request, ToolRequest):
        return request
    if not (isinstance(request, (tuple, list)) and len(request) in (2, 3) and isinstance(request[0], Slot)):
        raise TypeError(f"{request!r:.200}: expected (slot, command), (slot, command, timeout) or a ToolRequest")
    slot, command, *timeout = request
    return ToolRequest(slot, "bash", {"command": command}, *(timeout or [DEFAULT_TIMEOUT_SEC]))

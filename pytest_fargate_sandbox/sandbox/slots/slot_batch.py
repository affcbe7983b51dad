"""Many tool calls over many slots, at once: each with a result or an error of its own, in the order of the calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.slots.slot import Slot
from pytest_fargate_sandbox.sandbox.slots.tool_result import DEFAULT_TIMEOUT_SEC, ToolRequest, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_AT_ONCE = 64


def batch(requests: Iterable[Any]) -> list[ToolResult | SandboxError]:
    """Slots run side by side; the calls of one slot in their order."""
    asked = [_request_of(request) for request in requests]
    by_slot: dict[int, list[int]] = {}
    for index, request in enumerate(asked):
        by_slot.setdefault(id(request.slot), []).append(index)
    results: dict[int, ToolResult | SandboxError] = {}

    def carry_out(indices: list[int]) -> None:
        for index in indices:
            results[index] = _outcome(asked[index])

    with ThreadPoolExecutor(MOST_AT_ONCE, "batch") as pool:
        list(pool.map(carry_out, by_slot.values()))
    return [results[index] for index in range(len(asked))]


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

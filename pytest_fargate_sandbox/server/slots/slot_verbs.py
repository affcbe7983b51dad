"""What a server that has learnt of slots answers about them."""

from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.slots.many_runs import run_many
from pytest_fargate_sandbox.server.slots.slot_protocol import LeaseSlot, OpenSlots, ResetSlot, RunMany
from pytest_fargate_sandbox.server.slots.slot_table import SlotTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs


def requests(verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    slots = SlotTable(verbs.commands)
    verbs.tenant_of = slots.tenant_of

    def open_slots(exchange: "Exchange", request: OpenSlots) -> None:
        exchange.answer(slots.open(request.count, request.isolation))

    def lease_slot(exchange: "Exchange", request: LeaseSlot) -> None:
        exchange.answer(slots.lease(request.lease, request.number, has_network=request.network != "none"))

    def reset_slot(exchange: "Exchange", request: ResetSlot) -> None:
        slots.reset(request.lease, request.keep)
        exchange.answer(Nothing())

    def run_in_slots(exchange: "Exchange", request: RunMany) -> None:
        run_many(verbs, exchange, request)

    return [(OpenSlots, open_slots), (LeaseSlot, lease_slot), (ResetSlot, reset_slot), (RunMany, run_in_slots)]

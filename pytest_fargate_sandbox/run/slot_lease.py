"""A lease on a slot of a machine that others use as well: given back clean, or kept with its machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.run.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot


class SlotLease(Lease):
    sandbox: Slot

    def __init__(
        self,
        slot: Slot,
        *,
        keep: str,
        test: str,
        phases: Mapping[str, float],
        note: Callable[..., None],
        let_live: Callable[[], None],
        take_back: Callable[[], None],
    ) -> None:
        """``note`` writes into the lease's own entry of the ledger; the last two are what its pool does at the end."""
        super().__init__(slot, keep=keep, test=test)
        self._phases, self._write = phases, note
        self._let_live, self._take_back = let_live, take_back

    @property
    def task_id(self) -> str:
        return self.sandbox.task_id

    @property
    def phases(self) -> Mapping[str, float]:
        return self._phases

    def _note(self, event: str, **facts: Any) -> None:
        self._write(event, **facts)

    def _keep_it(self) -> None:
        self._let_live()

    def _give_up(self) -> None:
        self._take_back()

    def _where(self) -> Iterator[str]:
        yield from super()._where()
        slot = self.sandbox
        yield f"slot: {slot.number}, in {slot.home}, of isolation {slot.isolation}"

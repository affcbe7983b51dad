"""The machines of slots that this process is connected to: once for the whole run, whatever it does there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
from pytest_fargate_sandbox.leaves.errors import SandboxLost, StartError, StartTimeout
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.kept_tasks import kept_task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_fargate_sandbox.leaves.errors import SandboxError
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.run.slot_book import Place


class SlotMachines:
    """By the names that ``slot_book`` gives them. ``secret`` is the run's, by which all processes have their keys."""

    def __init__(self, run_id: str, secret: bytes) -> None:
        self._run_id, self._secret = run_id, secret
        self._known: dict[str, EcsFargateSandbox] = {}
        self._lock = threading.Lock()
        self._is_ready = False

    @property
    def near(self) -> Collection[str]:
        """To lease a slot there takes no new connection."""
        return list(self._known)

    def add(self, name: str, machine: EcsFargateSandbox) -> None:
        """This process has launched it."""
        self._known[name] = machine

    def get_ready(self, spec: SandboxSpec) -> None:
        """While a machine starts, for whom there is nothing else to do: what takes half a second of imports alone."""
        import pytest_fargate_sandbox.providers.ssh.ssh_tunnel  # noqa: F401

        if not self._is_ready:
            self._is_ready = True
            resolve_place(spec.config)

    def of(self, place: Place, spec: SandboxSpec) -> EcsFargateSandbox:
        """Raises ``StartError`` where it cannot be entered."""
        with self._lock:
            if place.machine not in self._known:
                assert place.up is not None
                self._known[place.machine] = self._entered(spec, place.up)
            return self._known[place.machine]

    def _entered(self, spec: SandboxSpec, way_in: Mapping[str, str]) -> EcsFargateSandbox:
        """By the run's secret, or where it was launched in an earlier one, by the keys that are kept of it."""
        kept = kept_task(way_in["task_arn"])
        if kept is not None:
            return EcsFargateSandbox.attach(kept)
        return EcsFargateSandbox.join(spec.config, way_in, run_id=self._run_id, secret=self._secret)

    def is_lost(self, name: str, error: SandboxError) -> bool:
        """Whether ``error`` means that the machine is no more, for anybody."""
        if isinstance(error, StartError):
            return not isinstance(error, StartTimeout)  # nobody else need fail to reach it
        machine = self._known.get(name)
        return isinstance(error, SandboxLost) or (machine is not None and not machine.is_running)

    def drop(self, name: str) -> None:
        machine = self._known.pop(name, None)
        if machine is not None:
            machine.detach()

    def close(self) -> None:
        """The machines live on, for the others."""
        for name in list(self._known):
            self.drop(name)

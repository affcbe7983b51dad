"""A wish for a slot: what no slot can be is told before anything is launched."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.plugin.settings.option_table import OPTIONS
from pytest_fargate_sandbox.sandbox.modes.mode_registry import recognised
from pytest_fargate_sandbox.sandbox.slots.machine_slots import refuse_unfit

if TYPE_CHECKING:
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec


def in_a_slot(spec: SandboxSpec, slots: int, tenants: str = "") -> SandboxSpec:
    """The same, in one of so many slots of its machine; ``tenants`` are alone there. Raises ``ConfigError``."""
    slots = 1 if tenants else slots
    mode = recognised(spec.config)
    if mode is not None and not mode.takes_commands:
        raise marker.wrong("slot", True, 'mode "exec": a slot is for commands, and an agent has a task of its own')
    try:
        refuse_unfit(int(spec.config.memory), slots, None)
    except ConfigError as error:
        raise ConfigError(f"{OPTIONS['slots'].flag}={slots}: {error.message}", key="slots", value=slots) from None
    return dataclasses.replace(spec, slots=slots, tenants=tenants)

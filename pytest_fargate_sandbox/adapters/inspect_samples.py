"""The sandboxes of samples, from the start of a task to its end."""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING, Any

import anyio
from inspect_ai._util.error import PrerequisiteError
from rich.markup import escape

from pytest_fargate_sandbox.adapters.harness_run import harness_run
from pytest_fargate_sandbox.adapters.inspect_specs import SampleSandbox, sandboxes_of, variables_of
from pytest_fargate_sandbox.leaves.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from pytest_fargate_sandbox.adapters.harness_run import HarnessLease

_numbers = itertools.count(1)
_live: list[SampleLease] = []


class SampleLease:
    """One sandbox of a sample."""

    def __init__(self, lease: HarnessLease, user: str | None, sample: str, name: str) -> None:
        self.sandbox = lease.sandbox
        self.user = user
        self.sample, self.name = sample, name
        self._lease = lease
        self.task = str(lease.sandbox.task_arn).rpartition("/")[2]
        _live.append(self)

    async def end(self, *, keep: bool = False) -> None:
        if self in _live:
            _live.remove(self)
            await self._lease.end(keep=keep)


async def prepare(config: BaseModel | str | None) -> None:
    """Raises ``PrerequisiteError``, which Inspect shows as a sentence."""
    try:
        for each in sandboxes_of(config, {}).values():
            await harness_run().build(each.spec, each.settings)
    except SandboxError as error:
        raise PrerequisiteError(escape(str(error))) from None


async def lease(task: str, config: BaseModel | str | None, metadata: Mapping[str, Any]) -> dict[str, SampleLease]:
    """All sandboxes of a sample, or none: what was started beside one that fails ends."""
    wanted = sandboxes_of(config, variables_of(config, metadata))
    sample = str(metadata.get("__sample_id__", ""))
    holder = f"{task}-{next(_numbers)}"
    leases: dict[str, SampleLease] = {}
    errors: list[SandboxError] = []

    async def start(name: str, each: SampleSandbox) -> None:
        try:
            leases[name] = await _leased(each, holder, f"{task}::{sample or task}", (sample, name))
        except SandboxError as error:
            errors.append(error)
            group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for name, each in wanted.items():
                group.start_soon(start, name, each)
        if errors:
            raise errors[0]
    except BaseException:
        await end(leases.values())
        raise
    return {name: leases[name] for name in wanted}


async def _leased(wanted: SampleSandbox, holder: str, test: str, sample: tuple[str, str]) -> SampleLease:
    leased = await harness_run().lease(wanted.spec, wanted.settings, holder=holder, name=test)
    found = SampleLease(leased, wanted.user, *sample)
    try:
        await _move_in(found, wanted)
    except BaseException:
        await found.end()
        raise
    return found


async def _move_in(lease: SampleLease, wanted: SampleSandbox) -> None:
    directory, user = wanted.working_dir, wanted.user
    if directory is None:
        return
    make = f"mkdir -p {shlex.quote(directory)}"
    own = f" && chown {shlex.quote(user)} {shlex.quote(directory)}" if user else ""
    await lease.sandbox.exec(f"[ -d {shlex.quote(directory)} ] || {{ {make}{own}; }}", check=True)
    lease.sandbox.blocking.cwd = directory


async def end(leases: Iterable[SampleLease], *, keep: bool = False) -> None:
    """Also where the caller is being cancelled."""
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as group:
            for each in leases:
                group.start_soon(lambda each=each: each.end(keep=keep))  # type: ignore[misc]


async def end_all(*, keep: bool) -> list[SampleLease]:
    """Of all samples, and which those were."""
    leases = list(_live)
    await end(leases, keep=keep)
    return leases if keep else []

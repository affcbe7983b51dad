"""What is begun before a test needs it: builds of its image, and sandboxes of its kind."""

from __future__ import annotations

import contextlib
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_fargate_sandbox.plugin import marker
from pytest_fargate_sandbox.plugin.fixture_keys import OWN, definitions, gets, keys_for

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.leases import Leases
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec


AHEAD: pytest.StashKey[Ahead] = pytest.StashKey()


class Ahead:
    """One in each process that runs tests. All of a run come to the same plans, for the one shelf that they share."""

    def __init__(self, config: pytest.Config, leases: Leases) -> None:
        self._config = config
        self._leases = leases
        self._plans: list[_Plan] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Tests are about to run: ``--fixtures`` and its like only collect, and never come here."""
        option, run = self._config.option, self._leases.run
        idle = option.collectonly or getattr(option, "setupplan", False) or run.has_workers
        # pytest gives up where a module cannot be collected; xdist's workers go on with the others.
        gives_up = session.testsfailed and run.is_controller and not option.continue_on_collection_errors
        if not idle and not gives_up:
            self._plans = _plans(session.items)
            for plan in self._plans:
                if plan.is_ours:
                    self._announce(plan, self._leases.base_config)

    def learn(self, item: pytest.Item, config: EcsFargateConfig) -> None:
        """A conftest's ``fargate_config`` is known now, so sandboxes of its tests can be launched ahead of need."""
        for plan in self._plans:
            if not plan.announced and any(item is need.item for need in plan.needs):
                self._announce(plan, config)

    def _announce(self, plan: _Plan, config: EcsFargateConfig) -> None:
        """Begin with what these tests will need: all their images at once, and of their sandboxes the first ones."""
        plan.announced = True
        specs: dict[tuple[str, int], SandboxSpec] = {}
        places: dict[tuple[str, int], list[int]] = {}
        times = self._leases.run.times_each_test
        for need in plan.needs:
            with contextlib.suppress(Exception):  # the test itself has the error to tell, in its setup
                spec = self._leases.wish(need.item, config, keys_for(need.item, need.fixture)).spec
                specs.setdefault((spec.kind, spec.slots), spec)
                places.setdefault((spec.kind, spec.slots), []).extend(
                    range(need.place * times, (need.place + 1) * times)
                )
        for kind, spec in specs.items():
            self._leases.builds_ahead.begin(spec)
            self._leases.pool.plan(spec, places[kind])


class _Need(NamedTuple):
    """A sandbox that will be made: which fixture of which test makes it, and its place in the order of them all."""

    item: pytest.Item
    fixture: str
    place: int


class _Plan:
    """Tests that share one definition of ``fargate_config``, each in need of a sandbox or two."""

    def __init__(self, is_ours: bool) -> None:
        self.is_ours = is_ours
        self.announced = False
        self.needs: list[_Need] = []


def _plans(items: list[pytest.Item]) -> list[_Plan]:
    plans: dict[int, _Plan] = {}
    numbers = count()
    for item in items:
        fixtures = [name for name in OWN if gets(item, name)]
        if fixtures and marker.mistake_in(item) is None and not _is_skipped(item):
            definition = definitions(item, "fargate_config")[-1]
            ours = definition.func.__module__ == "pytest_fargate_sandbox.plugin.fixtures"
            plan = plans.setdefault(id(definition), _Plan(ours))
            plan.needs += [_Need(item, name, next(numbers)) for name in fixtures]
    return list(plans.values())


def _is_skipped(item: pytest.Item) -> bool:
    from _pytest.skipping import evaluate_skip_marks

    try:
        return evaluate_skip_marks(item) is not None
    except BaseException:  # a condition that does not evaluate: pytest tells, in the test's setup
        return True

"""What is begun before a test needs it: builds of its image, and sandboxes of its kind."""

from __future__ import annotations

import contextlib
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_fargate_sandbox.plugin.fixture_keys import OWN, definitions, gets, keys_for
from pytest_fargate_sandbox.plugin.settings import marker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        self._prepared: list[tuple[pytest.Item, int]] = []
        """Tests of ``fargate_prepared``, with their places: of what kind their sandboxes are, its call tells."""
        self._learnt: set[Any] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Tests are about to run: ``--fixtures`` and its like only collect, and never come here."""
        option, run = self._config.option, self._leases.run
        idle = option.collectonly or getattr(option, "setupplan", False) or run.has_workers
        # pytest gives up where a module cannot be collected; xdist's workers go on with the others.
        gives_up = session.testsfailed and run.is_controller and not option.continue_on_collection_errors
        if not idle and not gives_up:
            numbers = count()
            self._plans = _plans(session.items, numbers)
            self._prepared = [(item, next(numbers)) for item in session.items if _is_prepared(item)]
            for plan in self._plans:
                if plan.is_ours:
                    self._announce(plan, self._leases.base_config)

    def learn(self, item: pytest.Item, config: EcsFargateConfig) -> None:
        """A conftest's ``fargate_config`` is known now, so sandboxes of its tests can be launched ahead of need."""
        for plan in self._plans:
            if not plan.announced and any(item is need.item for need in plan.needs):
                self._announce(plan, config)

    def learn_prepared(self, fixture: Any, config: EcsFargateConfig, keys: dict[str, Any]) -> None:
        """A fixture has asked for sandboxes of these keys: so it will for the other tests that have it."""
        if fixture in self._learnt or fixture.params:  # another parameter may be another preparation
            return
        self._learnt.add(fixture)
        plan = _Plan(is_ours=True)
        plan.needs = [
            _Need(item, "fargate_prepared", place, keys)
            for item, place in self._prepared
            if fixture in definitions(item, fixture.argname)
        ]
        self._announce(plan, config)

    def _announce(self, plan: _Plan, config: EcsFargateConfig) -> None:
        """Begin with what these tests will need: all their images at once, and of their sandboxes the first ones."""
        plan.announced = True
        specs: dict[tuple[str, int], SandboxSpec] = {}
        places: dict[tuple[str, int], list[int]] = {}
        times = self._leases.run.times_each_test
        for need in plan.needs:
            with contextlib.suppress(Exception):  # the test itself has the error to tell, in its setup
                spec = self._leases.wish(need.item, config, need.sandbox_keys()).spec
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
    keys: Mapping[str, Any] = MappingProxyType({})
    """What is said there beside the marks."""

    def sandbox_keys(self) -> dict[str, Any]:
        keys = marker.overlay(keys_for(self.item, self.fixture), self.keys)
        return {key: value for key, value in keys.items() if key != "allowed_changes"}  # its snapshot is still to come


class _Plan:
    """Tests that share one definition of ``fargate_config``, each in need of a sandbox or two."""

    def __init__(self, is_ours: bool) -> None:
        self.is_ours = is_ours
        self.announced = False
        self.needs: list[_Need] = []


def _plans(items: list[pytest.Item], numbers: Iterator[int]) -> list[_Plan]:
    plans: dict[int, _Plan] = {}
    for item in items:
        fixtures = [name for name in OWN if gets(item, name)]
        if fixtures and marker.mistake_in(item) is None and not _is_skipped(item):
            definition = definitions(item, "fargate_config")[-1]
            ours = definition.func.__module__ == "pytest_fargate_sandbox.plugin.fixtures"
            plan = plans.setdefault(id(definition), _Plan(ours))
            plan.needs += [_Need(item, name, next(numbers)) for name in fixtures]
    return list(plans.values())


def _is_prepared(item: pytest.Item) -> bool:
    return gets(item, "fargate_prepared") and marker.mistake_in(item) is None and not _is_skipped(item)


def _is_skipped(item: pytest.Item) -> bool:
    from _pytest.skipping import evaluate_skip_marks

    try:
        return evaluate_skip_marks(item) is not None
    except BaseException:  # a condition that does not evaluate: pytest tells, in the test's setup
        return True

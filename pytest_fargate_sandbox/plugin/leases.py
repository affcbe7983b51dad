"""The sandboxes of the tests that this process runs: which marks hold, when each is made, and what becomes of it.

A fixture that ends only lets go of its sandbox. What becomes of it is settled when the test's last report is there,
since whether a task is kept may hang on the teardown as well.
"""

from __future__ import annotations

import contextlib
import secrets
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin import marker, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.options import Settings
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.wish import Wish
    from pytest_fargate_sandbox.records.ledger import Ledger
    from pytest_fargate_sandbox.run.builds_ahead import BuildsAhead
    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.run.pool import Pool
    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox

OWN: Mapping[str, Mapping[str, Any]] = {"fargate_sandbox": {}, "fargate_agent": {"mode": "agent"}}
"""Fixtures that give a test one sandbox of its own, and what each says of it that no mark can change."""
SHARED = {"fargate_session_sandbox", "fargate_session_factory"}
FIXTURES = {*OWN, *SHARED, "fargate_sandbox_factory"}

_BAD_MARK: pytest.StashKey[Exception] = pytest.StashKey()


class TeardownWarning(pytest.PytestWarning):
    """Something went wrong while a sandbox was stopped; the test's result stands."""


class Leases:
    """One for each process that runs tests."""

    def __init__(self, config: pytest.Config, settings: Settings, run: PytestRun) -> None:
        self.settings = settings
        self.run = run
        self._config = config
        self._leases: list[Lease] = []
        self._released: list[Lease] = []
        self._plans: list[_Plan] = []

    # --- before the first test --------------------------------------------------------------------------------------

    def check_marks(self, items: list[pytest.Item]) -> None:
        for item in items:
            problem = marker.problem_of(item)
            if problem is not None:
                item.stash[_BAD_MARK] = problem

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        option = self._config.option
        idle = option.collectonly or getattr(option, "setupplan", False) or self.run.has_workers
        if not idle:
            self._plans = _plans(session.items)
            for plan in self._plans:
                if plan.is_ours:
                    self._announce(plan, self.base_config)

    def learn(self, item: pytest.Item, config: EcsFargateConfig) -> None:
        """A conftest's ``fargate_config`` is known now, so sandboxes of its tests can be launched ahead of need."""
        for plan in self._plans:
            if not plan.announced and any(item is each for each in plan.items):
                self._announce(plan, config)

    def _announce(self, plan: _Plan, config: EcsFargateConfig) -> None:
        """Begin with what these tests will need: their images, all at once, and as many sandboxes as are asked for."""
        plan.announced = True
        ahead = bool(self.settings.run["prelaunch"])
        counts: dict[str, list[Wish]] = {}
        for item, fixture in plan.needs():
            with contextlib.suppress(Exception):  # the test itself has the error to tell, in its setup
                keys = keys_for(item, fixture)
                if ahead or "environment" in keys or config.environment_dir:
                    wish = self.wish(item, config, keys)
                    counts.setdefault(wish.spec.kind, []).append(wish)
        for alike in counts.values():
            self.builds_ahead.begin(alike[0].spec)
            if ahead:
                self.pool.plan(alike[0].spec, len(alike) * self.run.times_each_test)

    # --- around each test -------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if _BAD_MARK in item.stash and uses_fixtures(item):
            raise item.stash[_BAD_MARK]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        outcomes.entering_call(item)
        try:
            return (yield)
        finally:
            outcomes.leaving_call(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        outcomes.judge(item, call, report)
        if not self._config.getoption("fulltrace", default=False):
            outcomes.tell_plainly(call, report)
        if report.failed:
            report.sections += [(f"Sandbox {lease.task_id}", lease.story()) for lease in self._of(item)]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        try:
            return (yield)
        finally:
            self.settle(item)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.end_released(None)
        if "pool" in self.__dict__:
            interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
            # What a worker builds, others may wait for.
            with self.builds_ahead.ending(stop=interrupted or self.run.is_owner):
                self.pool.close()

    def pytest_unconfigure(self) -> None:
        """At their ends pytest and Python look through all objects, many times: a third of them are botocore's."""
        if "pool" in self.__dict__:
            from pytest_fargate_sandbox.providers.aws.aws import disconnect_all

            disconnect_all()

    # --- what fixtures ask for --------------------------------------------------------------------------------------

    @cached_property
    def base_config(self) -> EcsFargateConfig:
        from pytest_fargate_sandbox.plugin.options import base_config

        config: EcsFargateConfig = base_config(self.settings)
        return config

    @cached_property
    def ledger(self) -> Ledger:
        from pytest_fargate_sandbox.records.ledger import Ledger

        return Ledger(self.run.run_id)

    @cached_property
    def pool(self) -> Pool:
        from pytest_fargate_sandbox.run.pool import Pool

        run = self.settings.run
        return Pool(
            run_id=self.run.run_id,
            directory=self.run.directory,
            secret=self.run.secret,
            worker=self.run.worker,
            owner=self.run.owner,
            max_tasks=run["max_tasks"],
            ahead=run["prelaunch"] * self.run.workers,
        )

    @cached_property
    def builds_ahead(self) -> BuildsAhead:
        from pytest_fargate_sandbox.run.builds_ahead import BuildsAhead

        return BuildsAhead(self.pool)

    def wish(self, item: pytest.Item | None, config: EcsFargateConfig, keys: dict[str, Any]) -> Wish:
        from pytest_fargate_sandbox.plugin import wish

        return wish.resolve(config, keys, self.settings, item)

    @contextlib.contextmanager
    def sandboxes(
        self, item: pytest.Item, config: EcsFargateConfig, keys: dict[str, Any], *, shared: bool = False
    ) -> Iterator[Callable[..., Sandbox]]:
        """``make(**keys)``, which starts a sandbox; leaving the block lets go of all of them, last one first.

        ``shared``: they are not this item's alone, and not made from its marks.
        """
        mine: list[Lease] = []

        def make(**more: Any) -> Sandbox:
            __tracebackhide__ = True
            asked = marker.overlay(dict(keys), marker.checked((), more, "the factory"))
            lease = self._lease(item, config, asked, shared)
            mine.append(lease)
            self._leases.append(lease)
            item.ihook.pytest_fargate_sandbox_started(item=item, sandbox=lease.sandbox)
            return lease.sandbox

        self.learn(item, config)
        try:
            yield make
        finally:
            self._released += reversed(mine)

    def _lease(self, item: pytest.Item, config: EcsFargateConfig, keys: dict[str, Any], shared: bool) -> Lease:
        from pytest_fargate_sandbox.leaves.errors import SandboxError

        __tracebackhide__ = True
        try:
            wish = self.wish(item, config, keys)
            return self.pool.lease(wish.spec, keep=wish.keep, test=item.nodeid, shared=shared)
        except SandboxError as error:
            if self._config.getoption("fulltrace", default=False):
                raise
            # The sentence is for the user; the twenty frames of ours above it are for --full-trace.
            raise error.with_traceback(None) from None

    # --- after a test -----------------------------------------------------------------------------------------------

    def settle(self, item: pytest.Item) -> None:
        """The item's reports are all there: stop or keep what its fixtures have let go of."""
        failed = item.stash.get(outcomes.FAILED, False)
        for lease in self._of(item):
            lease.tested(item.nodeid, failed=failed)
        self.end_released(item)

    def give_up(self, item: pytest.Item, met: dict[str, Any]) -> None:
        """An attempt does not count: end its sandboxes, whatever their tests wished, and remember why."""
        self.end_released(item)
        self.ledger.write(f"retry-{secrets.token_hex(8)}", "retried", test=item.nodeid, error=met)

    def lost_shared(self, item: pytest.Item) -> bool:
        """Whether a sandbox that this item shares with others is no more, so that its fixture has to make another."""
        return any(lease.shared and not lease.is_alive for lease in self._of(item))

    def _of(self, item: pytest.Item) -> list[Lease]:
        """The sandboxes that the item's fixtures made, and those it shares."""
        shares = bool(SHARED & set(getattr(item, "fixturenames", ())))
        return [lease for lease in self._leases if lease.test == item.nodeid or (shares and lease.shared)]

    def end_released(self, item: pytest.Item | None) -> None:
        """Stop or keep what fixtures have let go of."""
        released, self._released = self._released, []
        for lease in released:
            self._leases.remove(lease)
            try:
                lease.end()
            except Exception as error:
                warnings.warn(TeardownWarning(f"stopping {lease.task_id}: {error}"), stacklevel=2)
            if item is not None and not lease.kept:
                item.ihook.pytest_fargate_sandbox_stopped(item=item, sandbox=lease.sandbox)


LEASES: pytest.StashKey[Leases] = pytest.StashKey()


class _Plan:
    """Tests that share one definition of ``fargate_config``, each in need of a sandbox or two."""

    def __init__(self, is_ours: bool) -> None:
        self.is_ours = is_ours
        self.announced = False
        self.items: list[pytest.Item] = []

    def needs(self) -> Iterator[tuple[pytest.Item, str]]:
        """A test and a fixture of it for each sandbox that will be made."""
        return ((item, fixture) for item in self.items for fixture in OWN if _gets(item, fixture))


def _plans(items: list[pytest.Item]) -> list[_Plan]:
    plans: dict[int, _Plan] = {}
    for item in items:
        if any(_gets(item, name) for name in OWN) and _BAD_MARK not in item.stash and not _is_skipped(item):
            definition = _definitions(item, "fargate_config")[-1]
            ours = definition.func.__module__ == "pytest_fargate_sandbox.plugin.fixtures"
            plans.setdefault(id(definition), _Plan(ours)).items.append(item)
    return list(plans.values())


def _gets(item: pytest.Item, name: str) -> bool:
    """Whether the item asks for our fixture: itself, or through overrides that ask for what they override."""
    asked = name in getattr(item, "fixturenames", ())
    return asked and all(name in override.argnames for override in _definitions(item, name)[1:])


def _definitions(item: pytest.Item, name: str) -> Any:
    return item._fixtureinfo.name2fixturedefs.get(name, ())  # type: ignore[attr-defined]


def _is_skipped(item: pytest.Item) -> bool:
    from _pytest.skipping import evaluate_skip_marks

    try:
        return evaluate_skip_marks(item) is not None
    except BaseException:  # a condition that does not evaluate: pytest tells, in the test's setup
        return True


def uses_fixtures(item: pytest.Item) -> bool:
    return bool(FIXTURES & set(getattr(item, "fixturenames", ())))


def keys_for(item: pytest.Item, fixture: str) -> dict[str, Any]:
    """The keys of the sandbox that ``fixture`` makes for the item: its marks, its own indirect parameter, its word."""
    keys = marker.keys_of(item)
    callspec = getattr(item, "callspec", None)
    if fixture in OWN and callspec is not None and fixture in callspec.params:
        keys = with_parameter(keys, callspec.params[fixture])
    return {**keys, **OWN.get(fixture, {})}


def with_parameter(keys: dict[str, Any], parameter: Any) -> dict[str, Any]:
    """What an indirect parameter adds: a mapping of the marker's keys, or an image."""
    more = parameter if isinstance(parameter, dict) else {"image": parameter}
    return marker.overlay(keys, marker.checked((), more, "parameter of the fixture"))

"""The sandboxes that the tests of this process have leased: how each is made, and what becomes of it.

A sandbox ends with the fixture that made it, whatever the fixture's scope. While the reports of a test that had it are
not all there, the fixture only lets go of it: whether a task is kept may hang on the teardown as well.
"""

from __future__ import annotations

import secrets
import traceback
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin import allowed_changes, outcomes
from pytest_fargate_sandbox.plugin.fixture_keys import uses_fixtures
from pytest_fargate_sandbox.plugin.fixture_setups import FixtureSetups
from pytest_fargate_sandbox.plugin.hook_calls import tell_started, tell_stopped
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.plugin.warned_anyway import warn_anyway

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings
    from pytest_fargate_sandbox.plugin.wish import Wish
    from pytest_fargate_sandbox.run.builds_ahead import BuildsAhead
    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.run.pool import Pool
    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox


class TeardownWarning(pytest.PytestWarning):
    """Something went wrong while a sandbox was stopped; the test's result stands."""

    __module__ = __name__.partition(".")[0]


@dataclass(frozen=True, eq=False)
class _Held:
    """A lease in somebody's hands."""

    lease: Lease
    fixtures: list[Any]
    """The definitions of those that were being set up when it was made, the one that made it last."""
    for_one_test: bool
    called_for: bool
    """None was being set up: somebody called the factory that ``fixtures`` has alone."""


class Leases:
    """One for each process that runs tests."""

    def __init__(self, settings: Settings, run: PytestRun, last_run: Any) -> None:
        """``last_run``: what was learnt in it."""
        self.settings = settings
        self._last_run = last_run
        self.run = run
        self.setups = FixtureSetups(on_failure=self._let_go_of_all)
        self._held: list[_Held] = []
        self._released: list[_Held] = []
        self._used: list[_Held] = []
        """Those that the running test has had, in any of its phases."""
        self._attempts: list[Lease] = []
        """Of earlier attempts of the test that is running, those that are kept if it fails in the end."""
        self._item: pytest.Item | None = None
        self._pool: Pool | None = None

    # --- around each test -------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mistake = marker.mistake_in(item)
        if mistake is not None and uses_fixtures(item):
            raise mistake

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        outcomes.entering_call(item)
        try:
            return (yield)
        finally:
            outcomes.leaving_call(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if self._item is not None:  # we came late, in the middle of that test
            self.settle(self._item)
        self._item = item
        try:
            return (yield)
        except BaseException:  # the run is broken off, in the middle of whatever went on in them
            for held in self._held:
                held.lease.spoil()
            raise
        finally:
            self.settle(item)
            self._item = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.end_released(None)
        if self._pool is not None:
            interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
            # What a worker builds, others may wait for.
            with self.builds_ahead.ending(stop=interrupted or self.run.is_controller):
                self._pool.close()

    def pytest_unconfigure(self) -> None:
        """At their ends pytest and Python look through all objects, many times: a third of them are botocore's."""
        if self._pool is not None:
            from pytest_fargate_sandbox.providers.aws.aws import disconnect_all

            disconnect_all()

    # --- what fixtures ask for --------------------------------------------------------------------------------------

    @cached_property
    def base_config(self) -> EcsFargateConfig:
        from pytest_fargate_sandbox.plugin.settings.run_settings import base_config

        config: EcsFargateConfig = base_config(self.settings)
        return config

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            from pytest_fargate_sandbox.run.pool import Pool

            self._pool = Pool(
                run_id=self.run.run_id,
                directory=self.run.directory,
                secret=self.run.secret,
                worker=self.run.worker,
                owner=self.run.owner,
                max_tasks=self.settings.run["max_tasks"],
                workers=self.run.workers,
                prelaunch=self.settings.run["prelaunch"],
                last_run=self._last_run,
                reuse=self.settings.run["reuse"],
            )
        return self._pool

    @cached_property
    def builds_ahead(self) -> BuildsAhead:
        from pytest_fargate_sandbox.run.builds_ahead import BuildsAhead

        return BuildsAhead(self.pool)

    def wish(self, item: pytest.Item | None, config: EcsFargateConfig, keys: dict[str, Any]) -> Wish:
        from pytest_fargate_sandbox.plugin import wish

        return wish.resolve(config, keys, self.settings, item)

    def factory(self, request: Any, config: EcsFargateConfig, keys: dict[str, Any]) -> Callable[..., Sandbox]:
        """``make(**keys)``, which starts a sandbox that ends with the fixture that is being set up meanwhile.

        Where none is, with that of ``request``: somebody calls what the fixture had given them.
        """

        def make(*none: Any, **more: Any) -> Sandbox:
            running = self.setups.running()
            *_, maker = requests = running or [request]
            item = maker._pyfuncitem if running else self._item or maker._pyfuncitem
            if "task" in more:
                raise marker.wrong("task", more["task"], "it in a mark: a task's folder is for fargate_task")
            asked = marker.overlay(dict(keys), marker.checked(none, more, "the factory"))
            if "allowed_changes" in asked and maker.scope != "function":
                raise marker.wrong("allowed_changes", asked["allowed_changes"], "a sandbox of one test's own")
            lease = self._lease(item, config, asked, lasting=maker.scope == "session")
            fixtures = [each._fixturedef for each in requests]
            held = _Held(lease, fixtures, for_one_test=maker.scope == "function", called_for=not running)
            self._held.append(held)
            maker.addfinalizer(partial(self._let_go, held))
            tell_started(item, lease.sandbox)
            allowed_changes.begin(lease, item)
            return lease.sandbox

        return make

    def _lease(self, item: pytest.Item, config: EcsFargateConfig, keys: dict[str, Any], *, lasting: bool) -> Lease:
        wish = self.wish(item, config, keys)
        lease = self.pool.lease(wish.spec, keep=wish.keep, test=item.nodeid, lasting=lasting)
        lease.artifacts, lease.artifacts_when = keys.get("artifacts", ()), keys.get("artifacts_when")
        lease.snapshots, lease.has_files = wish.spec.snapshots, bool(wish.spec.files)
        lease.allowed_changes = keys.get("allowed_changes")
        return lease

    # --- after a test -----------------------------------------------------------------------------------------------

    def settle(self, item: pytest.Item) -> None:
        """The item's reports are all there: stop or keep what its fixtures have let go of."""
        failed = item.stash.get(outcomes.FAILED, False)
        attempts, self._attempts = self._attempts, []
        for lease in (*attempts, *(held.lease for held in self._used)):
            lease.tested(item.nodeid, failed=failed)
        for lease in attempts:
            self._end(lease, item)
        self.end_released(item)

    def begin_again(self, item: pytest.Item) -> None:
        """The attempt failed, and somebody runs the test again: whether it fails is not known yet.

        What would be kept if it does lives on till then, unless the next attempt may want its room.
        """
        for held in self._used:
            held.lease.tested(item.nodeid, failed=False)
            if self.settings.run["max_tasks"] is None and held.lease.awaits_verdict and self._is_done_with(held):
                self._forget(held)
                self._attempts.append(held.lease)
        self.end_released(item)

    def give_up(self, item: pytest.Item, met: dict[str, Any]) -> None:
        """An attempt does not count: end its sandboxes, whatever their tests wished, and remember why."""
        self.end_released(item)
        self.run.ledger.tell(f"retry-{secrets.token_hex(8)}", "retried", test=item.nodeid, error=met)

    def of(self, item: pytest.Item) -> list[Lease]:
        """The sandboxes that the test has had up to now; it is asked for each of its reports."""
        self._item = item
        self._used += [held for held in self._held if held not in self._used and _is_used(held, item)]
        return [held.lease for held in self._used]

    def lost_fixtures(self) -> list[Any]:
        """The definitions of the fixtures whose sandboxes are no more, so that they have to make others."""
        return [fixture for held in self._held if held.lease.is_lost for fixture in held.fixtures]

    def end_released(self, item: pytest.Item | None) -> None:
        """The reports of the test that was running are there: stop or keep what fixtures have let go of."""
        self._used.clear()
        for held in [held for held in reversed(self._held) if self._is_done_with(held)]:
            self._forget(held)
            self._end(held.lease, item)
        for held in self._held:
            held.lease.rest()

    def _is_done_with(self, held: _Held) -> bool:
        return held.for_one_test or held in self._released

    def _let_go_of_all(self, fixture: Any) -> None:
        """The fixture's set-up failed; whoever runs it again may have forgotten its finalizers."""
        for held in reversed(self._held):
            if held.fixtures[-1] is fixture:
                self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        """The fixture that made it ends. Where its tests are all settled, so is what becomes of it."""
        item = self._item
        if item is None or held in self._used or held.lease.test == item.nodeid:
            self._released.append(held)
        elif held in self._held:
            self._forget(held)
            self._end(held.lease, item)

    def _forget(self, held: _Held) -> None:
        self._held.remove(held)
        self._released = [each for each in self._released if each is not held]

    def _end(self, lease: Lease, item: pytest.Item | None) -> None:
        try:
            lease.end()
        except Exception as error:
            warn_anyway(item, TeardownWarning(f"stopping {lease.task_id}: {error}"))
        if item is not None and not (lease.kept or lease.left):
            try:
                tell_stopped(item, lease.sandbox)
            except Exception as error:  # the others have sandboxes to be ended, and tests to be run
                what = f"pytest_fargate_sandbox_stopped of {lease.task_id}: {_told(error)}"
                warn_anyway(item, TeardownWarning(what))


def _told(error: Exception) -> str:
    """With the line that raised it."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


def _is_used(held: _Held, item: pytest.Item) -> bool:
    """Whether the item's fixtures made it, or it has the value of one that did."""
    if held.lease.test == item.nodeid:
        return True
    request: Any = getattr(item, "_request", None)
    has = list(request._fixture_defs.values()) if request else []
    return any(each in has for each in held.fixtures) and (held.lease.has_run or not held.called_for)


LEASES: pytest.StashKey[Leases] = pytest.StashKey()

"""The sandboxes that the tests of this process have leased: how each is made, and what becomes of it.

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
from pytest_fargate_sandbox.plugin.fixture_keys import SHARED, uses_fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.options import Settings
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.wish import Wish
    from pytest_fargate_sandbox.records.ledger import Ledger
    from pytest_fargate_sandbox.run.builds_ahead import BuildsAhead
    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.run.pool import Pool
    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox


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
        try:
            return (yield)
        finally:
            self.settle(item)

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
        from pytest_fargate_sandbox.plugin.options import base_config

        config: EcsFargateConfig = base_config(self.settings)
        return config

    @cached_property
    def ledger(self) -> Ledger:
        from pytest_fargate_sandbox.records.ledger import Ledger

        return Ledger(self.run.run_id)

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
                ahead=self.settings.run["prelaunch"] * self.run.workers,
            )
        return self._pool

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
            asked = marker.overlay(dict(keys), marker.checked((), more, "the factory"))
            lease = self._lease(item, config, asked, shared)
            mine.append(lease)
            self._leases.append(lease)
            item.ihook.pytest_fargate_sandbox_started(item=item, sandbox=lease.sandbox)
            return lease.sandbox

        try:
            yield make
        finally:
            self._released += reversed(mine)

    def _lease(self, item: pytest.Item, config: EcsFargateConfig, keys: dict[str, Any], shared: bool) -> Lease:
        wish = self.wish(item, config, keys)
        return self.pool.lease(wish.spec, keep=wish.keep, test=item.nodeid, shared=shared)

    # --- after a test -----------------------------------------------------------------------------------------------

    def settle(self, item: pytest.Item) -> None:
        """The item's reports are all there: stop or keep what its fixtures have let go of."""
        failed = item.stash.get(outcomes.FAILED, False)
        for lease in self.of(item):
            lease.tested(item.nodeid, failed=failed)
        self.end_released(item)

    def give_up(self, item: pytest.Item, met: dict[str, Any]) -> None:
        """An attempt does not count: end its sandboxes, whatever their tests wished, and remember why."""
        self.end_released(item)
        self.ledger.write(f"retry-{secrets.token_hex(8)}", "retried", test=item.nodeid, error=met)

    def lost_shared(self, item: pytest.Item) -> bool:
        """Whether a sandbox that this item shares with others is no more, so that its fixture has to make another."""
        return any(lease.shared and not lease.is_alive for lease in self.of(item))

    def of(self, item: pytest.Item) -> list[Lease]:
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

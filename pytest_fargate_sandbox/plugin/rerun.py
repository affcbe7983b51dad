"""A test that met an infrastructure error runs again, as a whole; what the attempt given up reported does not count.

Reports are held back until it is known whether their attempt counts, those of subtests too, which pytest would send
out at once. So is the debugger: it is not entered on an attempt that will be run again. With ``-x`` and ``--maxfail``
a failure of the test's own is told before its fixtures are torn down, for all workers run on until it is.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.plugin import outcomes
from pytest_fargate_sandbox.plugin.fixture_keys import uses_fixtures
from pytest_fargate_sandbox.plugin.settings import marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.plugin.leases import Leases

    _IsVerdict = Callable[[pytest.Item, pytest.TestReport], bool]

RETRIED = "fargate_retried"
"""The property of a test that ran again: how often."""


class Reruns:
    """Runs the items that use our fixtures; all others are left to whoever comes next."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not uses_fixtures(item) or _belongs_to_rerunfailures(item):
            return None
        self._run(item, nextitem, self._retries(item))
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """An attempt begins, ours or that of another plugin that runs tests again."""
        if item.stash.get(outcomes.FAILED, False):
            self._leases.begin_again(item)
        outcomes.begin_attempt(item)
        lost = self._leases.lost_fixtures()
        if lost and hasattr(item, "_request"):
            finish(item, lost)
            self._leases.end_released(item)

    def _run(self, item: pytest.Item, nextitem: pytest.Item | None, retries: int) -> None:
        properties = list(item.user_properties)
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for attempt in range(retries + 1):
            with _held_back(item, attempt < retries, self._is_verdict) as reports:
                runtestprotocol(item, nextitem=nextitem)
            met = item.stash.get(outcomes.MET, [])
            if not met or attempt == retries or reports.told:
                break
            reports.clear()
            self._leases.give_up(item, met[0])
            _forget_attempt(item)
            item.user_properties[:] = [*properties, (RETRIED, str(attempt + 1))]
        _tell(reports, item.ihook)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _is_verdict(self, item: pytest.Item, report: pytest.TestReport) -> bool:
        """Whether it ends or may end the run, and whatever its fixtures meet when they are torn down."""
        fails = report.failed and report.when == "call" and not outcomes.is_running(item)
        if not fails or not item.config.getoption("maxfail") or item.stash.get(outcomes.MET, []):
            return False
        return not any(lease.is_lost for lease in self._leases.of(item))  # what was lost is why, more likely than not

    def _retries(self, item: pytest.Item) -> int:
        try:
            asked = marker.keys_of(item).get("retries")
        except SandboxError:  # a bad mark: the setup tells
            return 0
        return int(self._leases.settings.run["infra_retries"] if asked is None else asked)


def _belongs_to_rerunfailures(item: pytest.Item) -> bool:
    """pytest-rerunfailures runs a test again whatever failed, so where it has been asked to, it does so alone."""
    asked = getattr(item.config.pluginmanager.getplugin("rerunfailures"), "get_reruns_count", None)
    return bool(asked and asked(item))


class _Reports(list[pytest.TestReport]):
    """Those that are still to be told."""

    told = False
    """Whether some were, and so the attempt counts."""


@contextlib.contextmanager
def _held_back(item: pytest.Item, hold: bool, is_verdict: _IsVerdict) -> Iterator[_Reports]:
    """Collect what would be reported while the block runs, up to a verdict; an interrupt lets out what there is."""
    reports = _Reports()
    if not hold:
        yield reports
        return
    session, proxies = item.session, item.session.gethookproxy

    def held(report: pytest.TestReport) -> None:
        reports.append(report)
        if reports.told or is_verdict(item, report):
            reports.told = True
            _tell(reports, proxies(item.path))

    # Every report of an item goes through its `ihook`, which the session makes: its own, and its subtests':
    # https://github.com/pytest-dev/pytest/blob/9.2.0/src/_pytest/subtests.py#L273
    session.gethookproxy = lambda path: _Held(proxies(path), held)  # type: ignore[method-assign,assignment,return-value]
    try:
        yield reports
    except BaseException:
        del session.gethookproxy
        _tell(reports, item.ihook)
        raise
    del session.gethookproxy


def _tell(reports: list[pytest.TestReport], hooks: Any) -> None:
    while reports:
        hooks.pytest_runtest_logreport(report=reports.pop(0))


class _Held:
    """The hooks of an item, but for those that tell the world about an attempt that may not count."""

    def __init__(self, hooks: Any, held: Callable[[pytest.TestReport], None]) -> None:
        self._hooks, self._held = hooks, held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    def pytest_runtest_logreport(self, *, report: pytest.TestReport) -> None:
        self._held(report)

    def pytest_exception_interact(self, *, node: Any, call: Any, report: Any) -> None:
        if not hasattr(report, "fargate_infrastructure"):
            self._hooks.pytest_exception_interact(node=node, call=call, report=report)


def _forget_attempt(item: pytest.Item) -> None:
    """Take back what an attempt leaves on the item: captured output, subtests' failures, fixtures that failed."""
    from _pytest.subtests import failed_subtests_key

    item.stash[outcomes.FAILED] = False
    item._report_sections.clear()
    failures: Any = item.config.stash[failed_subtests_key]
    # pytest 9.0 counts by nodeid: https://github.com/pytest-dev/pytest/blob/9.0.3/src/_pytest/subtests.py#L404
    failures.pop(getattr(item, "id", item.nodeid), None)
    if hasattr(item, "_request"):
        every = [each for named in item._fixtureinfo.name2fixturedefs.values() for each in named]  # type: ignore[attr-defined]
        finish(item, [each for each in every if each.cached_result is not None and each.cached_result[2] is not None])


def finish(item: pytest.Item, fixtures: Iterable[Any]) -> None:
    """End these fixtures, of whatever scope, and those that depend on them."""
    for fixturedef in fixtures:
        if fixturedef.cached_result is not None:
            item._initrequest()  # type: ignore[attr-defined]
            fixturedef.finish(item._request)  # type: ignore[attr-defined]

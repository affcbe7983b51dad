"""What stands in the report of a test: short errors, whose fault it was, and the stories of its sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.plugin import outcomes, short_errors

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_fargate_sandbox.plugin.leases import Leases


class Reports:
    """One for each process that runs tests."""

    def __init__(self, config: pytest.Config, leases: Leases) -> None:
        self._config = config
        self._leases = leases

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if self._config.getoption("fulltrace", default=False):
            report = yield
        else:
            with short_errors.shortened(call.excinfo):
                report = yield
                short_errors.tell_plainly(call, report)
        outcomes.judge(item, call, report)
        if report.failed:
            report.sections += [(f"Sandbox {lease.task_id}", lease.story()) for lease in self._leases.of(item)]
        return report

"""What stands in the report of a test: short errors, whose fault it was, and the stories of its sandboxes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.plugin import marker, options, outcomes, short_errors, vocabulary
from pytest_fargate_sandbox.plugin.fixture_keys import uses_fixtures

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_fargate_sandbox.plugin.leases import Leases

_FLAGS = {option.sets: option.flag for option in options.TABLE if option.sets}


class Reports:
    """One for each process that runs tests."""

    def __init__(self, config: pytest.Config, leases: Leases) -> None:
        self._in_full = bool(config.getoption("fulltrace", default=False))
        self._leases = leases

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        with ExitStack() as while_it_is_made:
            if call.excinfo and uses_fixtures(item):
                while_it_is_made.enter_context(short_errors.reworded(call.excinfo.value, for_pytest))
            if call.excinfo and not self._in_full:
                while_it_is_made.enter_context(short_errors.shortened(call.excinfo.value))
            report = yield
            if not self._in_full:
                short_errors.tell_plainly(call, report)
            outcomes.judge(item, call, report)
        leases = self._leases.of(item)
        if report.failed:
            report.sections += [(f"Sandbox {lease.task_id}", lease.story()) for lease in leases]
        return report


def for_pytest(advice: str) -> str:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

    return vocabulary.as_advice(advice, _FLAGS, marker.KEYS, EcsFargateConfig.__dataclass_fields__)

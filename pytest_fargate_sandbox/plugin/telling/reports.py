"""What stands in the report of a test: short errors, whose fault it was, and the stories of its sandboxes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin import outcomes
from pytest_fargate_sandbox.plugin.fixture_keys import uses_fixtures
from pytest_fargate_sandbox.plugin.settings import marker, option_table, vocabulary
from pytest_fargate_sandbox.plugin.telling import short_errors, told_to_others
from pytest_fargate_sandbox.plugin.telling.kept_stories import keep_story
from pytest_fargate_sandbox.plugin.telling.sendable import sendable

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_fargate_sandbox.plugin.leases import Leases
    from pytest_fargate_sandbox.plugin.telling.artifacts import Artifacts

_FLAGS = {option.sets: option.flag for option in option_table.TABLE if option.sets}


class Reports:
    """One for each process that runs tests."""

    def __init__(self, config: pytest.Config, leases: Leases, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._in_full = bool(config.getoption("fulltrace", default=False))
        self._leases = leases

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        with ExitStack() as while_it_is_made:
            if call.excinfo:
                short_errors.with_remedy(call.excinfo.value)
            if call.excinfo and uses_fixtures(item):
                while_it_is_made.enter_context(short_errors.reworded(call.excinfo.value, for_pytest))
            if call.excinfo and not self._in_full:
                while_it_is_made.enter_context(short_errors.shortened(call.excinfo.value))
            report = yield
            if not self._in_full:
                short_errors.tell_plainly(call, report)
            outcomes.judge(item, call, report)
        logs = [(lease, lease.logs() if report.failed else "") for lease in self._leases.of(item)]
        stories = [(lease, lease.story(log) if report.failed else "") for lease, log in logs]
        report.sections += [(f"Sandbox {lease.task_id}", story) for lease, story in stories if story]
        saved = self._artifacts.save(item, call, report, [lease for lease, _ in stories])
        report.sections += [("Saved of this test", saved.told())] if saved else []
        if report.failed and self._leases.run.begun:
            keep_story(self._leases.run, item, report, logs)
        told_to_others.tell(item, report, call.excinfo.value if call.excinfo else None, stories, saved)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, Any, Any]:
        """From a worker to its controller: what a sandbox calls its files may stand in any error."""
        return sendable((yield))


def for_pytest(advice: str) -> str:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

    return vocabulary.as_advice(advice, _FLAGS, marker.KEYS, EcsFargateConfig.__dataclass_fields__)

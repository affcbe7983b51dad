"""The stories of failed tests as data: written down at once, so that they are there whatever becomes of the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.plugin.rerun import RETRIED

if TYPE_CHECKING:
    import pytest

    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.records.run_records import RunRecords
    from pytest_fargate_sandbox.run.lease import Lease

_COMMANDS = 40
_CHARACTERS = 20_000
"""Of an error, a container's log, a screen."""
_RECORDING = 4 * 1024 * 1024


def keep_story(run: PytestRun, item: pytest.Item, report: pytest.TestReport, told: list[tuple[Lease, str]]) -> None:
    """``told``: the test's sandboxes, each with its log."""
    from pytest_fargate_sandbox.records.run_records import RunRecords

    records, met = RunRecords(run.run_id), getattr(report, "fargate_infrastructure", None)
    records.write(
        "story",
        test=item.nodeid,
        attempt=int(str(dict(item.user_properties).get(RETRIED, 0))) + 1,
        when=met["phase"] if met else report.when,
        began=report.start,
        ended=report.stop,
        error=_middle_out(report.longreprtext),
        infrastructure=met,
        sandboxes=[_sandbox(lease, log) for lease, log in told],
    )
    for lease, _ in told:
        _keep_recordings(records, item, lease)


def _sandbox(lease: Lease, log: str) -> dict[str, Any]:
    sandbox = lease.sandbox
    return {
        "task_id": lease.task_id,
        "task_arn": sandbox.task_arn,
        "image": sandbox.image,
        "phases": dict(lease.phases),
        "cause": sandbox.cause,
        "commands": [asdict(past) for past in list(sandbox.history)[-_COMMANDS:]],
        "screens": {terminal.name: _middle_out(terminal.capture()) for terminal in sandbox.terminals.all()},
        "log": log[-_CHARACTERS:],
    }


def _keep_recordings(records: RunRecords, item: pytest.Item, lease: Lease) -> None:
    for terminal in lease.sandbox.terminals.all():
        text = terminal.recording()
        cut = len(text) > _RECORDING
        if cut:
            text = text[: text.rfind("\n", 0, _RECORDING) + 1]
        name = {"test": item.nodeid, "task_id": lease.task_id, "terminal": terminal.name}
        records.write("recording", **name, cut=cut, text=text)


def _middle_out(text: str) -> str:
    if len(text) <= _CHARACTERS:
        return text
    half = _CHARACTERS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters are not kept …\n{text[-half:]}"

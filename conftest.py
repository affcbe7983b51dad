"""What tests and examples share: pytester, and the rule that CI has every real component."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of what only root, or only somebody else, meets is no test for the other: not run, which is no skip."""
    others = "no_root" if os.geteuid() == 0 else "root"
    deselected = [item for item in items if item.get_closest_marker(others)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():  # type: ignore[no-untyped-def]
    """In CI a missing real component fails: a skip would hide that something was never tried."""
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr[2] if report.longrepr else ''}"
    return report

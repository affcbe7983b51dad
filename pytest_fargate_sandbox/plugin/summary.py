"""What stands in the header and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox.plugin.options import Settings
    from pytest_fargate_sandbox.plugin.run import Run


class Summary:
    def __init__(self, settings: Settings, run: Run) -> None:
        self._settings = settings

    def pytest_report_header(self) -> str | None:
        return f"fargate: {self._settings.describe()}" if self._settings.configured else None

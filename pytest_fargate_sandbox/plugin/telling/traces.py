"""The spans of a run and of its tests, where OpenTelemetry is at work; another plugin that makes them is left to it.

Spans of machines and commands hang on what is current, so they find their places by themselves.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves import tracing

if TYPE_CHECKING:
    from collections.abc import Generator

TRACES: pytest.StashKey[Traces] = pytest.StashKey()
_OTHERS = "pytest_opentelemetry"
_THEIRS = ("traceparent", "tracestate")
"""What that one tells its workers."""
_KEY = "fargate_sandbox_trace"


class Traces:
    """One for each process; the controller's, or the only one's, has the run's span."""

    def __init__(self, config: pytest.Config) -> None:
        self._span: Any = None
        """Of the test that runs."""
        self._run: Any = None
        given = getattr(config, "workerinput", None)
        if given is not None:
            theirs = {name.upper(): value for name, value in given.items() if name in _THEIRS}
            tracing.hang_on(given.get(_KEY) or theirs)
        elif not config.pluginmanager.hasplugin(_OTHERS):
            tracing.hang_on(os.environ)
            self._run = tracing.begin("pytest run", pytest__span_type="run")
            tracing.hang_on(tracing.environment(self._run))

    def tell(self, worker_input: dict[str, Any]) -> None:
        """A worker, what its spans hang on."""
        worker_input[_KEY] = tracing.environment(self._run)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if tracing.is_within_a_span():  # somebody else's, of this test
            tracing.hang_on(tracing.environment())  # what threads begin meanwhile
            return (yield)
        with tracing.span(item.nodeid, pytest__nodeid=item.nodeid, pytest__span_type="test") as self._span:
            try:
                return (yield)
            finally:
                self._span = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            tracing.failed(self._span, f"{report.nodeid}: {report.when}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, Any, Any]:
        """Around all that ends here; whoever has set OpenTelemetry up may shut it down next."""
        try:
            return (yield)
        finally:
            if self._run is not None:
                if exitstatus:
                    tracing.failed(self._run, f"exit status {int(exitstatus)}")
                self._run.end()
            tracing.flush()

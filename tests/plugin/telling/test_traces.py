"""Spans of a run: a tree of the run, its tests, the phases of their machines and their commands, in one trace."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves import tracing
from tests.components import OTHER_PLUGINS
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from pathlib import Path


CONFTEST = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

class ToFile(SpanExporter):
    def export(self, spans):
        with open("spans.jsonl", "a") as file:
            file.writelines(span.to_json(indent=None) + "\\n" for span in spans)
        return SpanExportResult.SUCCESS

def pytest_configure(config):
    provider = trace.get_tracer_provider()
    if not hasattr(provider, "add_span_processor"):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(BatchSpanProcessor(ToFile()))
"""

TESTS = """
import pytest

def test_commands(fargate_sandbox):
    said = fargate_sandbox.exec("echo $TRACEPARENT $HERS", env={"HERS": "1"}).stdout
    in_terminal = fargate_sandbox.pty_start("echo $TRACEPARENT", 5).output
    fargate_sandbox.spawn(["sh", "-c", "test $TRACEPARENT"]).wait()
    with pytest.raises(ValueError, match="env is of type int"):
        fargate_sandbox.exec("true", env=5)
    with open("said", "w") as file:
        file.write(f"{said} {in_terminal}")

def test_fails(fargate_slot):
    assert fargate_slot.exec("exit 3").return_code == 0
"""

_TESTS = ("test_it.py::test_commands", "test_it.py::test_fails")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _spans(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """By name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (directory / "spans.jsonl").read_text().splitlines():
        span = json.loads(line)
        found.setdefault(span["name"], []).append(span)
    return found


def _ids(spans: list[dict[str, Any]]) -> list[str]:
    return [span["context"]["span_id"].removeprefix("0x") for span in spans]


def _parents(spans: list[dict[str, Any]]) -> set[str]:
    return {str(span["parent_id"]).removeprefix("0x") for span in spans}


@pytest.mark.needs("opentelemetry")
@pytest.mark.usefixtures("shared_engine_log")
@pytest.mark.parametrize("workers", [["-pno:xdist"], ["-n2"]], ids=["one process", "workers"])
def test_a_run_is_one_trace_down_to_what_a_command_in_the_sandbox_is_told(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    pytester.makepyfile(test_it=TESTS)
    pytester.makeconftest(CONFTEST)
    run_pytest(pytester, *workers, "-pno:cacheprovider").assert_outcomes(passed=1, failed=1)
    spans = _spans(pytester.path)
    assert {span["context"]["trace_id"] for each in spans.values() for span in each} == {"0x" + PARENT.split("-")[1]}
    [run], [passed], [failed] = (spans[name] for name in ("pytest run", *_TESTS))
    assert _parents([run]) == {PARENT.split("-")[2]}
    assert _parents([passed, failed]) == set(_ids([run]))
    assert [each["status"]["status_code"] for each in (run, passed, failed)] == ["ERROR", "UNSET", "ERROR"]
    by_command = {str(each["attributes"]["process.command_line"]).split()[0]: each for each in spans["command"]}
    told, spawned, failing = (by_command[name] for name in ("echo", "sh", "exit"))
    assert _parents([told, spawned]) == set(_ids([passed]))
    assert _parents([failing]) == set(_ids([failed]))
    assert told["attributes"] == {
        "process.command_line": "echo $TRACEPARENT $HERS",
        "process.exit.code": 0,
        "fargate.state": "exit 0",
    }
    assert failing["attributes"]["process.exit.code"] == 3
    said, hers, in_terminal = (pytester.path / "said").read_text().split()
    assert (said.split("-")[2], hers) == (*_ids([told]), "1")
    assert in_terminal.split("-")[2] in _ids(spans["sandbox server"])
    for phase in ("waited", "definition", "launch", "address", "tunnel", "server", "files"):
        assert _parents(spans[f"sandbox {phase}"]) >= set(_ids([passed])), phase


@pytest.mark.needs("pytest-opentelemetry")
@pytest.mark.usefixtures("shared_engine_log")
def test_beside_pytest_opentelemetry_its_spans_are_what_ours_hang_on(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(OTHER_PLUGINS))
    pytester.makepyfile(test_it=TESTS)
    pytester.makeconftest(CONFTEST)
    run_pytest(pytester, "-n2", "-pno:cacheprovider").assert_outcomes(passed=1, failed=1)
    spans = _spans(pytester.path)
    assert "pytest run" not in spans
    assert len({span["context"]["trace_id"] for each in spans.values() for span in each}) == 1
    calls = [span for name, each in spans.items() for span in each if name.endswith("::call")]
    assert _parents(spans["command"]) == set(_ids(calls))


def test_who_has_no_opentelemetry_pays_for_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    assert tracing.span("one", a=1) is tracing.span("two")
    assert tracing.begin("one") is None
    assert tracing.environment() == {}
    assert not tracing.is_within_a_span()
    assert "opentelemetry.trace" not in sys.modules

"""Telling infrastructure trouble from a failed test: the first is an error that says so, whatever phase it hit.

Infrastructure is ``TransportError``, ``SandboxLost`` (but not out of memory, which the test may have caused) and
``StartError`` with a transient cause, anywhere in the chain of causes or in an exception group. What a person has to
mend (``ConfigError``, ``ImageBuildError``), what a command did (``Exec…``) and what a file was not is none.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.leaves.errors import SandboxError

_ERRORS = "pytest_fargate_sandbox.leaves.errors"

MET: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
"""The infrastructure errors of an item's current attempt, as plain values."""
FAILED: pytest.StashKey[bool] = pytest.StashKey()
"""Whether a report of the item's current attempt was a failure or an error."""
_RUNNING: pytest.StashKey[bool] = pytest.StashKey()
"""Whether the item's own code is running, so that a report made now is a subtest's."""

NEVER_FAILS: pytest.StashKey[bool] = pytest.StashKey()
"""Of an item whose errors of ours are none of whoever is tried by it: where he fails, it says so itself."""

PROPERTY = "fargate_infrastructure"
NO_VERDICT = "fargate_no_verdict"


def infrastructure_error(error: BaseException | None) -> SandboxError | None:
    """The infrastructure error that ``error`` is, or that stands behind it."""
    errors = sys.modules.get(_ERRORS)
    if errors is None:  # nobody has loaded them, so nobody has raised one
        return None
    return next(_found(error, errors, set()), None)


def _found(error: BaseException | None, errors: Any, seen: set[int]) -> Iterator[SandboxError]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    if isinstance(error, errors.SandboxError):
        if _is_infrastructure(error, errors):
            yield error
        elif not isinstance(error, (errors.StartError, errors.SandboxLost)):
            return  # raised on purpose, in full knowledge of what stood behind it
    for member in getattr(error, "exceptions", ()):
        yield from _found(member, errors, seen)
    yield from _found(error.__cause__, errors, seen)
    if not error.__suppress_context__:
        yield from _found(error.__context__, errors, seen)


def _is_infrastructure(error: BaseException, errors: Any) -> bool:
    from pytest_fargate_sandbox.leaves.names import Cause

    if isinstance(error, errors.SandboxLost):
        return bool(error.cause != Cause.OUT_OF_MEMORY)
    if isinstance(error, errors.StartError):
        return bool(error.transient)
    return isinstance(error, errors.TransportError)


def begin_attempt(item: pytest.Item) -> None:
    item.stash[MET] = []
    item.stash[FAILED] = False


def entering_call(item: pytest.Item) -> None:
    item.stash[_RUNNING] = True


def leaving_call(item: pytest.Item) -> None:
    item.stash[_RUNNING] = False


def is_running(item: pytest.Item) -> bool:
    """Whether a report that is made now is a subtest's."""
    return item.stash.get(_RUNNING, False)


def judge(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Make an infrastructure error an error, though the test's own code was running and an xfail was hoping for one."""
    error = infrastructure_error(call.excinfo.value) if call.excinfo else None
    met = item.stash.setdefault(MET, [])
    if error is not None:
        met.append(_plain(error, report))
        _make_error(item, report, met[-1])
    elif met and report.when == "call" and report.passed and not is_running(item):
        # Its subtests met it: pytest is about to call this a failure.
        report.longrepr = f"infrastructure error in a subtest: {met[-1]['message']}"
        _make_error(item, report, met[-1])
    elif report.when == "call" and call.excinfo and _says_nothing_of_the_agent(item, call.excinfo.value):
        _as_error(report)
        item.user_properties.append((NO_VERDICT, str(call.excinfo.value).partition("\n")[0]))
        report.user_properties = list(item.user_properties)
    if report.failed:
        item.stash[FAILED] = True


def _plain(error: SandboxError, report: pytest.TestReport) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "cause": str(error.context.get("cause", "")),
        "message": error.message.partition("\n")[0],
        "task_arn": str(error.context.get("task_arn", "")),
        "phase": report.when,
    }


def _says_nothing_of_the_agent(item: pytest.Item, error: BaseException) -> bool:
    """A verifier without a verdict, or a task that is not what it should be: no failure of whoever was tried."""
    errors = sys.modules.get(_ERRORS)
    if errors is None:
        return False
    by_itself = (errors.NoVerdict, errors.TaskFolderError)
    return isinstance(error, errors.SandboxError if item.stash.get(NEVER_FAILS, False) else by_itself)


def _as_error(report: pytest.TestReport) -> None:
    report.outcome = "failed"
    if hasattr(report, "wasxfail"):
        del report.wasxfail
    if report.when == "call":
        # https://github.com/pytest-dev/pytest/blob/9.2.0/src/_pytest/runner.py#L220
        report.when = "setup"  # terminal and JUnit know errors by their phase: a failure is what "call" has


def _make_error(item: pytest.Item, report: pytest.TestReport, met: dict[str, Any]) -> None:
    _as_error(report)
    report.fargate_infrastructure = dict(met)  # type: ignore[attr-defined]
    where = "while the test's own code ran" if met["phase"] == "call" else f"in its {met['phase']}"
    report.sections.insert(0, ("Infrastructure error", f"not a failure of the test: {met['message']} ({where})"))
    value = f"{met['type']}: {met['cause'] or met['message']}"
    if (PROPERTY, value) not in item.user_properties:
        item.user_properties.append((PROPERTY, value))
    report.user_properties = list(item.user_properties)

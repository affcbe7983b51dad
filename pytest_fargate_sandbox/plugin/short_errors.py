"""What pytest shows of an error: the line of the user's that met it, and the sentence. ``--full-trace`` has the rest.

Three things stand in the way: our frames, those of the libraries below them, and the errors of theirs that ours were
raised from. Nothing is thrown away; the error is what it was once its report is made.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code import filter_traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PACKAGE = __name__.partition(".")[0]
_CHECKS = f"{_PACKAGE}.conformance"
_LIBRARIES = {
    *("_pytest", "boto3", "botocore", "cryptography", "filelock", "paramiko", "pytest_timeout", "urllib3"),
    *sys.stdlib_module_names,
}
_ERRORS = f"{_PACKAGE}.leaves.errors"


@contextlib.contextmanager
def shortened(error: BaseException) -> Iterator[None]:
    """A block in which the error shows nothing of our inside, to pytest and to whoever else writes reports."""
    with contextlib.ExitStack() as afterwards:
        for each in _with_causes(error):
            afterwards.enter_context(_without_our_causes(each))
            afterwards.enter_context(_without_our_depths(each))
        yield


@contextlib.contextmanager
def reworded(error: BaseException, words: Callable[[str], str]) -> Iterator[None]:
    """A block in which those of ours say what they say in other words."""
    errors = sys.modules.get(_ERRORS)
    ours = [each for each in _with_causes(error) if errors and isinstance(each, errors.SandboxError)]
    before: list[tuple[Any, str]] = [(each, each.message) for each in ours]
    for each, message in before:
        each.message = words(message)
    try:
        yield
    finally:
        for each, message in before:
            each.message = message


def tell_plainly(call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """One of our errors says it all in its sentences, where no code of the user's stands between pytest and us."""
    excinfo = call.excinfo
    errors = sys.modules.get(_ERRORS)
    if excinfo is None or errors is None or not isinstance(excinfo.value, errors.SandboxError):
        return
    if call.when == "setup" and not _came_through_others(excinfo):
        report.longrepr = excinfo.getrepr(style="value")
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:  # what stands in the list at the end, behind the test's name
        crash.message = f"{excinfo.typename}: {str(excinfo.value).removeprefix(f'{report.nodeid}: ')}"


def _came_through_others(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether the code that called ours is somebody's, and not pytest's."""
    for entry in reversed(excinfo.traceback):
        if not _is_ours(entry.frame.f_globals):
            return filter_traceback(entry)
    return False


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """``error``, what it was raised from or while handling, and the members of groups; each once."""
    pending: list[BaseException | None] = [error]
    seen = set()
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            pending += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
            yield each


@contextlib.contextmanager
def _without_our_causes(error: BaseException) -> Iterator[None]:
    cause, context, suppressed = error.__cause__, error.__context__, error.__suppress_context__
    error.__cause__, error.__context__ = _outermost(cause), _outermost(context)
    error.__suppress_context__ = suppressed and cause is None
    try:
        yield
    finally:
        error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppressed


def _outermost(error: BaseException | None) -> BaseException | None:
    """``error``, or what stands behind it if it never left us: the first to see it was one of our functions."""
    while error is not None and error.__traceback__ and _is_ours(error.__traceback__.tb_frame.f_globals):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


@contextlib.contextmanager
def _without_our_depths(error: BaseException) -> Iterator[None]:
    """Hide our frames, the way pytest is told to, and leave out the libraries' below the last of them."""
    last, entry = None, error.__traceback__
    while entry is not None:
        names = entry.tb_frame.f_globals
        if _is_ours(names):
            names.setdefault("__tracebackhide__", lambda excinfo: _speaks_for_itself(excinfo.value))
            last = entry
        elif _module(names).partition(".")[0] not in _LIBRARIES:
            last = None
        entry = entry.tb_next
    if last is None or not _speaks_for_itself(error):
        yield
        return
    last.tb_next, below = None, last.tb_next
    try:
        yield
    finally:
        last.tb_next = below


def _speaks_for_itself(error: BaseException) -> bool:
    """Any other that we raise is a mistake of ours, and is shown in full."""
    errors = sys.modules.get(_ERRORS)
    return isinstance(error, (OSError, ValueError, pytest.fail.Exception, *((errors.SandboxError,) if errors else ())))


def _is_ours(names: Mapping[str, Any]) -> bool:
    """Whether a frame with these globals is one of our functions. The conformance checks are tests of users'."""
    module = _module(names)
    return module.partition(".")[0] == _PACKAGE and not module.startswith(_CHECKS)


def _module(names: Mapping[str, Any]) -> str:
    return str(names.get("__name__", ""))

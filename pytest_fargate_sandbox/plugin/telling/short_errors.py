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
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

_PACKAGE = __name__.partition(".")[0]
_CHECKS = f"{_PACKAGE}.conformance"
_LIBRARIES = {
    *("_pytest", "boto3", "botocore", "cryptography", "filelock", "paramiko", "pytest_timeout", "urllib3"),
    *sys.stdlib_module_names,
}
_ERRORS = f"{_PACKAGE}.leaves.errors"
_WAITING = f"{_PACKAGE}.leaves.waiting"
_OUT_OF_SCOPE = "ScopeMismatch: You tried to access the function scoped fixture fargate_"
_WIDER = "fargate_session_factory is for fixtures of any scope: make(**keys) -> sandbox that ends with the fixture."


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
    ours: list[Any] = [each for each in _with_causes(error) if isinstance(each, _our_kinds())]
    before = [(each, each.message) for each in ours]
    for each, message in before:
        each.message = words(message)
    try:
        yield
    finally:
        for each, message in before:
            each.message = message


def with_remedy(error: BaseException) -> None:
    """pytest's own word on scopes, where it is about a fixture of ours, says what to take in its place."""
    said = str(getattr(error, "msg", ""))
    if isinstance(error, pytest.fail.Exception) and said.startswith(_OUT_OF_SCOPE) and _WIDER not in said:
        error.msg = f"{said.rstrip()}\n{_WIDER}"


def tell_plainly(call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """An error says it all in its sentences, where no code of the user's stands between pytest and us."""
    excinfo = call.excinfo
    if excinfo is None or not isinstance(excinfo.value, (pytest.fail.Exception, *_our_kinds())):
        return
    if call.when in ("setup", "call") and _is_between_pytest_and_us(excinfo):
        report.longrepr = excinfo.getrepr(style="value")
        if call.when == "setup" and not isinstance(
            excinfo.value, _our_kinds()
        ):  # a test's own time-out says nothing of what took so long
            report.sections.append(("What it waited for", _last_of_ours(excinfo)))
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:  # what stands in the list at the end, behind the test's name
        crash.message = f"{excinfo.typename}: {str(excinfo.value).removeprefix(f'{report.nodeid}: ')}"


def _is_between_pytest_and_us(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether it was in our hands, or in those of a library that we called, and pytest's own code had called us."""
    was_ours = False
    for entry in reversed(excinfo.traceback):
        names = entry.frame.f_globals
        if _is_ours(names):
            was_ours = True
        elif was_ours or not _is_a_librarys(names):
            return was_ours and not filter_traceback(entry)
    return was_ours


def _last_of_ours(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    ours = [entry for entry in excinfo.traceback if _is_ours(entry.frame.f_globals)]
    last = next(
        (entry for entry in reversed(ours) if not _module(entry.frame.f_globals).startswith(_WAITING)), ours[-1]
    )
    return f"{last.name}, in {_module(last.frame.f_globals)}:{last.lineno + 1}"


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
    """``error``, or what stands behind it if it never left us: the first to see it was one of our functions, or a
    library's that such a function had called."""
    was_ours = False
    while error is not None and error.__traceback__:
        names = error.__traceback__.tb_frame.f_globals
        if not _is_ours(names) and not (was_ours and _is_a_librarys(names)):
            break
        was_ours = True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


@contextlib.contextmanager
def _without_our_depths(error: BaseException) -> Iterator[None]:
    """Hide our frames, the way pytest is told to, and leave out the libraries' between them and below the last."""
    ours: list[TracebackType] = []
    entry = error.__traceback__
    while entry is not None:
        names = entry.tb_frame.f_globals
        if _is_ours(names):
            names.setdefault("__tracebackhide__", _hides)
            ours.append(entry)
        elif not _is_a_librarys(names):
            ours.clear()
        entry = entry.tb_next
    below = [each.tb_next for each in ours]
    if _speaks_for_itself(error):
        _link(ours, [*ours[1:], None])
    try:
        yield
    finally:
        _link(ours, below)


def _link(entries: Sequence[TracebackType], below: Sequence[TracebackType | None]) -> None:
    for entry, next_one in zip(entries, below, strict=False):
        entry.tb_next = next_one


def _hides(excinfo: pytest.ExceptionInfo[BaseException] | None) -> bool:
    return excinfo is not None and (_speaks_for_itself(excinfo.value) or _is_of_what_we_called(excinfo.value))


def _is_of_what_we_called(error: BaseException) -> bool:
    """Whether a hook or a callback of the user's raised it, and we are no more than what lies between him and it."""
    entry, is_ours = error.__traceback__, True
    while entry is not None:
        names = entry.tb_frame.f_globals
        if not _is_a_librarys(names):  # which stands on the side of whoever called it
            is_ours = _is_ours(names)
        entry = entry.tb_next
    return not is_ours


def _speaks_for_itself(error: BaseException) -> bool:
    """Any other that we raise is a mistake of ours, and is shown in full."""
    return isinstance(error, (OSError, ValueError, pytest.fail.Exception, *_our_kinds()))


def _our_kinds() -> tuple[type[BaseException], ...]:
    """Where nobody has loaded them, nobody has raised one."""
    errors = sys.modules.get(_ERRORS)
    return (errors.SandboxError,) if errors else ()


def _is_ours(names: Mapping[str, Any]) -> bool:
    """Whether a frame with these globals is one of our functions. The conformance checks are tests of users'."""
    module = _module(names)
    return module.partition(".")[0] == _PACKAGE and not module.startswith(_CHECKS)


def _is_a_librarys(names: Mapping[str, Any]) -> bool:
    return _module(names).partition(".")[0] in _LIBRARIES


def _module(names: Mapping[str, Any]) -> str:
    return str(names.get("__name__", ""))

"""What was said of an option, as its kind wants it, or the sentence that says what would be taken."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_fargate_sandbox.plugin.settings.option_table import Option


def checked(option: Option, value: Any, source: str) -> Any:
    """``value`` as the option's kind wants it; command line and environment have strings only."""
    if option.kind == "args":
        return _as_list(value, source)
    if isinstance(value, (list, Mapping)):
        raise _wrong(source, value, "a single value")
    if option.kind == "bool":
        return _as_bool(value, source)
    if option.kind == "int":
        return _as_int(option, value, source)
    text = option.synonyms.get(str(value), str(value))
    if option.choices and text not in option.choices:
        from pytest_fargate_sandbox.leaves.plain_values import nearest

        raise _wrong(source, value, f"one of {', '.join(option.choices)}{nearest(text, list(option.choices))}")
    if not text:
        raise _wrong(source, value, f"a value ({option.metavar})")
    return text


def _as_list(value: Any, source: str) -> list[str]:
    try:
        return [str(each) for each in (value if isinstance(value, list) else shlex.split(str(value).replace(",", " ")))]
    except ValueError as error:
        raise _wrong(source, value, f"a list ({error})") from None


def _as_int(option: Option, value: Any, source: str) -> int | str:
    if option.word and value == option.word:
        return option.word
    try:
        number = int(str(value))  # of a string, since int(2.5) and int(True) are numbers as well
    except ValueError:
        raise _wrong(source, value, f"a whole number{f' or {option.word}' if option.word else ''}") from None
    if number < option.least:
        raise _wrong(source, value, f"{option.least} or more")
    if number > option.most:
        raise _wrong(source, value, f"{option.most} or less")
    return number


def _as_bool(value: Any, source: str) -> bool:
    from pytest_fargate_sandbox.leaves.plain_values import truth_of

    truth = truth_of(str(value))
    if truth is None:
        raise _wrong(source, value, "true or false")
    return truth


def _wrong(source: str, value: Any, expected: str) -> pytest.UsageError:
    name, _, where = source.partition(" in ")
    return pytest.UsageError(f"{name}={value}{f' in {where}' if where else ''}: expected {expected}")

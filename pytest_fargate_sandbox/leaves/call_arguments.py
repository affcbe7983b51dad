"""What somebody gives to a call of a sandbox, looked at before anything is done, and told by the word that he used."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_fargate_sandbox.leaves.text_of import is_text

_LONGEST = 1 << 40
"""Of seconds and of bytes: more does nobody mean, and not every part of a sandbox could count it."""
_SHOWN = 300


def check_seconds(word: str, value: Any, *, endless: bool = False) -> None:
    if not (is_number(value, int, float) and value >= 0 and (endless or value < _LONGEST)):
        raise wrong_argument(word, value, "a number of seconds, 0 or more")


def check_pause(word: str, value: Any) -> None:
    """What is left of a time that somebody has may be less than nothing: that is no pause."""
    if not is_number(value, int, float) or math.isnan(value):
        raise wrong_argument(word, value, "a number of seconds")


def check_whole(word: str, value: Any, least: int = 0, most: int = _LONGEST) -> None:
    if not (is_number(value, int) and least <= value <= most):
        upward = f"{least} or more" if most == _LONGEST else f"{least} to {most}"
        raise wrong_argument(word, value, f"a whole number, {upward}")


def check_signal(word: str, value: Any) -> None:
    if not (is_number(value, int) and 1 <= value <= 64):
        raise wrong_argument(word, value, "the number of a signal, such as signal.SIGTERM")


def check_globs(word: str, value: Any) -> None:
    if isinstance(value, str) or not (isinstance(value, Sequence) and all(isinstance(each, str) for each in value)):
        raise wrong_argument(word, value, "a list of globs")


def check_event(word: str, value: Any) -> None:
    if not (value is None or hasattr(value, "is_set")):
        raise wrong_argument(word, value, "a threading.Event")


def check_name(word: str, value: Any, *, blank: bool = True) -> None:
    if not (isinstance(value, str) and (blank or value) and is_text(value)):
        raise wrong_argument(word, value, "a string" if blank else "a string, and not an empty one")


def check_kind(word: str, value: Any, kind: type, expected: str) -> None:
    if not isinstance(value, kind):
        raise wrong_argument(word, value, expected)


def check_port(word: str, value: Any, least: int = 1) -> None:
    if not (is_number(value, int) and least <= value <= 65535):
        raise wrong_argument(word, value, f"a port, {least} to 65535")


def check_list(word: str, value: Any) -> None:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong_argument(word, value, "a list")


def check_mode(word: str, value: Any) -> None:
    """Of a file or a directory."""
    if not (is_number(value, int) and 0 <= value <= 0o7777):
        raise wrong_argument(word, value, "permissions, such as 0o755")


def remote_path(word: str, value: Any) -> str:
    """As the sandbox is told it: relative to where its commands run, or whole."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise wrong_argument(word, value, "a path in the sandbox, as a string")
    if "\0" in text or not is_text(text, "surrogateescape"):
        raise wrong_argument(word, value, "a path in the sandbox, without NUL and half characters")
    return text


def local_path(word: str, value: Any) -> Path:
    """A blank one is a variable of a script's that nobody has set, and not the directory one is in."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text or "\0" in text or not is_text(text, "surrogateescape"):
        raise wrong_argument(word, value, "a path on this side")
    return Path(text)


def check_sendable(word: str, path: Path) -> os.stat_result:
    """What it is: a device gives bytes without end, and a pipe waits for somebody who writes."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise wrong_argument(word, str(path), "a file or a directory, which it is not")
    return status


def bytes_of(word: str, value: Any) -> bytes:
    """Which are not shown: there may be many, and secret ones."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{word} has half a character in it: give bytes where it is no text") from None
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise ValueError(f"{word} is of type {type(value).__name__}: expected bytes or a string")
    return bytes(value)


def is_number(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def wrong_argument(word: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{word}={_shown(value)}: expected {expected}")


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.{_SHOWN}}"
    except Exception:  # its own, or a number of more digits than Python writes
        return f"a value of type {type(value).__name__}"

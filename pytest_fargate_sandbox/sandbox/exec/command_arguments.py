"""What a caller says of a command, checked on this side, where the one argument that is wrong has its name."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.call_arguments import bytes_of, check_seconds, check_whole
from pytest_fargate_sandbox.leaves.errors import RemoteFileError
from pytest_fargate_sandbox.leaves.text_of import TEXT, is_text, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def command_fields(command: Any, cwd: Any, env: Any, user: Any) -> dict[str, Any]:
    """As the server is told them. Raises ``ValueError``."""
    return {
        "command": _command(command),
        "cwd": None if cwd is None else _text("cwd", cwd),
        "env": check_environment(env),
        "user": None if user is None else _text("user", user),
    }


def run_fields(timeout: Any, max_output_bytes: Any, stdin: Any, on_output: Any) -> dict[str, Any]:
    """The same of a command that is waited for."""
    if timeout is not None:
        check_seconds("timeout", timeout)
    check_whole("max_output_bytes", max_output_bytes)
    if isinstance(stdin, io.TextIOBase):
        raise ValueError(f"stdin={stdin!r} gives text: expected a file that is open for bytes (mode 'rb')")
    if isinstance(stdin, str):
        bytes_of("stdin", stdin)
    if not (stdin is None or isinstance(stdin, (bytes, bytearray, str, os.PathLike)) or hasattr(stdin, "read")):
        raise ValueError(f"stdin={stdin!r}: expected bytes, a string, a path, or an open file")
    if not (on_output is None or _takes_one(on_output)):
        raise ValueError(f"on_output={on_output!r}: expected a function that takes each piece of output")
    return {"timeout": timeout, "limit": max_output_bytes}


def _takes_one(given: Any) -> bool:
    """Whether it can be called with one argument, as far as that is known before."""
    if not callable(given):
        return False
    try:
        inspect.signature(given).bind(b"")
    except TypeError:
        return False
    except ValueError:  # some of C's functions say nothing of what they take
        pass
    return True


@contextlib.contextmanager
def naming_cwd(cwd: Any) -> Iterator[None]:
    """Of a command's files, it is the directory to run it in that may be missing."""
    try:
        yield
    except RemoteFileError as error:
        if cwd is None or error.path != os.fspath(cwd):
            raise
        message = f"the command did not run: its cwd: {error.message}"
        raise type(error)(message, path=error.path, kind=error.kind, errno=error.errno) from None


def _command(command: Any) -> str | list[str]:
    if isinstance(command, str):
        words: str | list[str] = _text("command", command)
    elif isinstance(command, Sequence) and not isinstance(command, (bytes, bytearray)):
        words = [_text(f"command[{index}]", word) for index, word in enumerate(command)]
    else:
        raise ValueError(f"command={command!r}: expected a string for the shell, or a list of strings")
    if not words:
        raise ValueError("the command is empty")
    return words


def check_environment(env: Any) -> dict[str, str | None]:
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise ValueError(f"env is of type {type(env).__name__}: expected a mapping of names to strings")
    for name in env:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name or not _is_whole(name):
            raise ValueError(f"env: {name!r} is no name of a variable")
    return {name: None if value is None else _value_of_variable(name, value) for name, value in env.items()}


def _value_of_variable(name: str, value: Any) -> str:
    """It is not shown: it may be a secret."""
    text = text_of(value)
    if text is None:
        raise ValueError(f"env[{name!r}] is of type {type(value).__name__}: expected {TEXT}, or None to unset it")
    return _sayable(f"env[{name!r}]", text)


def _text(name: str, value: Any) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise ValueError(f"{name}={value!r}: expected a string")
    return _sayable(f"{name}={value!r}", text)


def _sayable(what: str, text: str) -> str:
    """To a program, which is told in bytes that end with NUL."""
    if "\0" in text:
        raise ValueError(f"{what} has a NUL byte in it")
    if not _is_whole(text):
        raise ValueError(f"{what} has half a character in it")
    return text


def _is_whole(text: str) -> bool:
    return is_text(text, "surrogateescape")

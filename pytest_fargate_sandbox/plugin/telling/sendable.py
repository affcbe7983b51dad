"""What of a report cannot be sent to another process as it is: text that is no Unicode, as a file's name may be."""

from __future__ import annotations

from typing import Any


def sendable(value: Any) -> Any:
    """The same with lone surrogates written out, as in Python: xdist sends none, and ends the run over one."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {sendable(key): sendable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [sendable(each) for each in value]
    return tuple(map(sendable, value)) if isinstance(value, tuple) else value

"""What a program gives where a text is meant: in a configuration, in the environment of a task or a command."""

from __future__ import annotations

import os
from typing import Any

TEXT = "a string, a number, true or false"


def text_of(value: Any) -> str | None:
    """As JSON writes it, without a string's quotes; None of any other type. A path is its string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return str(value) if isinstance(value, (str, int, float)) else None


def is_text(text: str, errors: str = "strict") -> bool:
    """Whether bytes can be made of it: half of a surrogate pair is no character."""
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True

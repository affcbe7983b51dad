"""What JSON, TOML, YAML and programs write, as the types of a configuration's fields want it.

A lone string is taken where a list is meant, numbers as strings and strings as numbers. Whatever is wrong is a
``ConfigError`` that names the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.text_of import TEXT, is_text, text_of

_SHOWN = 300
"""Characters of a value that is wrong."""


def nearest(word: str, words: Sequence[str]) -> str:
    """``; did you mean 'x'?`` for the closest of ``words``, or nothing."""
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def nearest_or_all(word: str, words: Sequence[str], synonyms: Sequence[str] = ()) -> str:
    """What to say behind a word that is none of ``words``: the closest one, or all of them where none is close."""
    return nearest(word, [*words, *synonyms]) or f" (allowed: {', '.join(words)})"


def mapping_of(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong(key, value, "a mapping")
    return value


def takes_none(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def coerced(key: str, value: Any, hint: Any) -> Any:
    """``value`` as ``hint`` wants it; a config file has strings where numbers are meant, and the other way round."""
    choices = [each for each in (typing.get_args(hint) if _is_union(hint) else [hint]) if each is not type(None)]
    if value is None and takes_none(hint):
        return None
    kind: Any = choices[0]
    origin = typing.get_origin(kind)
    if hasattr(kind, "from_dict"):
        return value if isinstance(value, kind) else kind.from_dict(value)
    if origin is Literal:
        check_choice(key, value, hint)
        return value
    if origin is Sequence:
        return _as_list(key, value, typing.get_args(kind)[0])
    if origin is Mapping:
        return _as_mapping(key, value)
    return _as_scalar(key, value, kind)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _as_list(key: str, value: Any, kind: Any) -> list[Any]:
    if isinstance(value, (str, Mapping)):
        value = [value] if value else []
    if not isinstance(value, Sequence):
        raise wrong(key, value, "a list")
    return [_as_scalar(key, each, str) if kind is str else dict(mapping_of(key, each)) for each in value]


def _as_mapping(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise wrong(key, value, "a mapping of names to values")
    return {str(name): _as_value(f"{key}.{name}", each) for name, each in value.items()}


def _as_value(key: str, value: Any) -> str:
    """Told by its type alone: it may be a secret."""
    text = text_of(value)
    if text is None:
        told = f"{key} is of type {type(value).__name__}: expected {TEXT}"
        raise ConfigError(told, key=key, allowed=TEXT)
    if not is_text(text):
        raise ConfigError(f"{key} has half a character in it", key=key)
    return text


def _as_scalar(key: str, value: Any, kind: type) -> Any:
    if kind is bool:
        return _as_bool(key, value)
    if kind is str:
        text = text_of(value)
        if text is None:
            raise wrong(key, value, _WORDS[kind])
        if not is_text(text):
            raise wrong(key, value, "a string of whole characters")
        return text
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise wrong(key, value, _WORDS[kind])
    try:
        converted = kind(value)
    except (ValueError, OverflowError):  # infinity is no whole number
        raise wrong(key, value, _WORDS[kind]) from None
    if kind is int and isinstance(value, float) and value != converted:
        raise wrong(key, value, _WORDS[kind])
    return converted


_WORDS = {int: "a whole number", float: "a number", str: "a string"}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _as_bool(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    truth = truth_of(str(value))
    if truth is None:
        raise wrong(key, value, "true or false")
    return truth


def truth_of(word: str) -> bool | None:
    """What ``yes``, ``off`` and the like mean; None where a word means neither."""
    return _TRUTH.get(word.lower())


def check_choice(key: str, value: Any, hint: Any) -> None:
    literal = next((each for each in typing.get_args(hint) if typing.get_origin(each) is Literal), hint)
    allowed = typing.get_args(literal)
    if value in allowed or (value is None and takes_none(hint)):
        return
    raise wrong(key, value, " or ".join(map(repr, allowed)) + nearest(str(value), allowed))


def check_variable(key: str, name: str) -> None:
    """What the name of a variable of the environment can be."""
    if not name.strip() or {"=", "\0"} & set(name):
        raise wrong(key, name, "names that are not blank, without '=' and NUL")


def wrong(key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{key}={value!r:.{_SHOWN}}: expected {allowed}", key=key, value=value, allowed=allowed)

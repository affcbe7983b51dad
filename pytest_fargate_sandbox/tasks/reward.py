"""What a verifier leaves as its verdict: ``reward.json`` or ``reward.txt``; anything but a number is none."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "reward"
MOST_BYTES = 1 << 16
"""More than that is no reward."""

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class NotAReward(ValueError):
    """With a sentence that says why."""


@dataclass(frozen=True)
class Reward:
    """``value`` is the key ``reward``; where there is none, the least of them all."""

    value: float
    parts: Mapping[str, float]

    @property
    def is_full(self) -> bool:
        return self.value >= 1.0


def from_files(as_json: bytes | None, as_text: bytes | None) -> Reward:
    """Of the two files, each None where it is not there; the first one counts. Raises ``NotAReward``."""
    if as_json is not None:
        return _from_json(_decoded(as_json, "reward.json"))
    if as_text is not None:
        return _from_text(_decoded(as_text, "reward.txt"))
    raise NotAReward("the verifier left no reward: neither reward.json nor reward.txt is in /logs/verifier")


def of(parts: Mapping[str, float]) -> Reward:
    return Reward(parts[KEY] if KEY in parts else min(parts.values()), dict(parts))


def _decoded(content: bytes, name: str) -> str:
    if len(content) > MOST_BYTES:
        raise NotAReward(f"{name} has more than {MOST_BYTES} bytes: it is no reward")
    text = content.decode("utf-8", "replace").strip()
    if not text:
        raise NotAReward(f"{name} is empty")
    return text


def _from_text(text: str) -> Reward:
    if not _DECIMAL.fullmatch(text):
        raise NotAReward(f"reward.txt has {text[:100]!r}: expected a number from 0 to 1")
    return of({KEY: _checked(float(text), "reward.txt")})


def _from_json(text: str) -> Reward:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAReward(f"reward.json has {text[:100]!r}: it is no JSON") from None
    parts = said if isinstance(said, dict) else {KEY: said}
    if not parts:
        raise NotAReward("reward.json has no reward in it")
    for key, value in parts.items():
        if not _is_number(value):
            raise NotAReward(f"reward.json has {key[:100]!r} is {_shown(value)}: expected a number")
    for key in [KEY] if KEY in parts else parts:
        _checked(parts[key], f"reward.json: {key[:100]!r}")
    return of(parts)


def _checked(value: float, where: str) -> float:
    if not 0 <= value <= 1:
        raise NotAReward(f"{where} is {_shown(value)}: expected a number from 0 to 1")
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return repr(value)[:100]

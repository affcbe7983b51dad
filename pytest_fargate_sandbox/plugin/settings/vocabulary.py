"""One word for each thing, in the marker, the options, the two files and what is advised.

The names of ``EcsFargateConfig``'s fields, and of run options, that differ from it are understood as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_FIELDS = {
    "image": "image_template",
    "environment": "environment_dir",
    "env": "extra_env",
    "ttl": "max_task_lifetime_sec",
    "execution_role": "execution_role_arn",
}
_RUN_OPTIONS = {"mode": "sidecar_mode", "retries": "infra_retries"}

_SYNONYMS = {other: word for word, other in {**_FIELDS, **_RUN_OPTIONS}.items()}
_OTHER_NAME = rf"\b({'|'.join(_FIELDS.values())})\b"
_BACKTICKED = r"`([a-z_0-9.]+)`(?! \(of the marker| in \[tool)"
"""Compiled when something is advised: who does not use us waits for this module too."""

_OF_THE_ENGINE = {
    r"\(--runner (\w+)\)": r"(--fargate-runner=\1)",
    r"\(--image ([^\s()]+)\)": r"(FARGATE_ENGINE_OPTIONS='--image \1')",
}
"""The engine's own options, as it names them, and how they are given to one that pytest starts."""


def word_for(name: str) -> str:
    """What we call the thing of that name."""
    return _SYNONYMS.get(name, name)


def field_for(word: str) -> str:
    """The field of ``EcsFargateConfig`` that is meant."""
    return _FIELDS.get(word, word)


def run_option_for(word: str) -> str:
    """The run option that is meant."""
    return _RUN_OPTIONS.get(word, word)


def in_our_words(keys: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``keys`` by their words. Raises ``ValueError`` where two of them are one."""
    said = set()
    for key, value in keys.items():
        word = word_for(key)
        if word in said:
            raise ValueError(f"{word} is said twice, once by another name of it")
        said.add(word)
        yield word, value


def by_word(text: str) -> str:
    """``text`` with our words where it has other names."""
    return re.sub(_OTHER_NAME, lambda match: word_for(match[0]), text)


def as_advice(text: str, flags: Mapping[str, str], of_marker: Collection[str], fields: Collection[str]) -> str:
    """What is advised of a configuration, for somebody who has pytest; ``flags`` are of those fields that have one."""

    def where(match: re.Match[str]) -> str:
        word = match[1]
        if word == "ssh_sidecar.exec_server_port":
            return '`mode="exec"` (of the marker, or --fargate-sidecar-mode)'
        flag = flags.get(field_for(word), "")
        if word in of_marker:
            return f"`{word}` (of the marker{flag and f', or {flag}'})"
        if flag:
            return f"`{flag}`"
        return f"`{word}` in [tool.pytest_fargate_sandbox]" if word in fields else match[0]

    advice = re.sub(_BACKTICKED, where, by_word(text))
    for option, ours in _OF_THE_ENGINE.items():
        advice = re.sub(option, ours, advice)
    return advice

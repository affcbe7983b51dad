"""The story of a test as its page has it: text that a browser may show as it is."""

from __future__ import annotations

from typing import Any

from pytest_fargate_sandbox.page.shown_text import shown

_LONGEST_LINE = 4000
"""Of an error, output or a log: a browser takes long to lay out a line of megabytes."""


def story_data(story: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """And its recordings, whose text only a screen is given."""
    recordings = [
        {key: recording[key] for key in ("terminal", "task_id", "cut", "text")} for recording in story["recordings"]
    ]
    told = {"reports": [_harmless(report) for report in story["reports"]], "recordings": []}
    return told, [{**_harmless({**each, "text": ""}), "text": each["text"]} for each in recordings]


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return "\n".join(map(_short, shown(value).split("\n")))
    if isinstance(value, dict):
        return {_harmless(str(key)): _harmless(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(each) for each in value]
    return value


def _short(line: str) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    return f"{line[:_LONGEST_LINE]} … {len(line) - _LONGEST_LINE} characters more"

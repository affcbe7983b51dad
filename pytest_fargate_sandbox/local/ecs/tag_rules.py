"""What may stand in a tag: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html."""

from __future__ import annotations

import re

from pytest_fargate_sandbox.local.ecs.refusals import InvalidParameter

_TEXT = re.compile(r"[\w\s.:/=+@-]+")
_LONGEST_KEY, _LONGEST_VALUE, _MOST = 128, 256, 50


def check_tags(tags: list[dict[str, str]]) -> None:
    keys = [tag.get("key", "") for tag in tags]
    if len(keys) > _MOST:
        raise InvalidParameter(f"The maximum number of tags is {_MOST}.")
    if len(set(keys)) != len(keys):
        raise InvalidParameter("Duplicate tag keys are not allowed.")
    for tag in tags:
        _check_tag(tag.get("key", ""), tag.get("value", ""))


def _check_tag(key: str, value: str) -> None:
    if not key or len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
        raise InvalidParameter(
            f"Tag keys have 1 to {_LONGEST_KEY} characters and values at most {_LONGEST_VALUE}: {key!r}."
        )
    if not _TEXT.fullmatch(key + value):
        raise InvalidParameter(
            "Some tags contain invalid characters. Tags take letters, digits, spaces and _ . : / = + - @ only: "
            f"{key!r}."
        )
    for part, text in (("keys", key), ("values", value)):
        if text.lower().startswith("aws:"):
            raise InvalidParameter(f"Tag {part} must not start with aws: {text!r}.")

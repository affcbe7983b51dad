"""What a Dockerfile says of how its container begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.tasks.entry_point import entry_point_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM a\nRUN x\n", []),
        ('FROM a\nENTRYPOINT ["/entry", "a b"]\nWORKDIR /app\n', ["/entry", "a b"]),
        ('FROM a\nentrypoint [ "/one", \\\n  "two" ]\n', ["/one", "two"]),
        ("FROM a\nENTRYPOINT exec serve --all\n", ["/bin/sh", "-c", "exec serve --all"]),
        ('FROM a\nENTRYPOINT ["/one"]\nENTRYPOINT []\n', []),
        ('FROM a AS built\nENTRYPOINT ["/one"]\nFROM b\n', []),
        ('FROM --platform=linux/amd64 a AS built\nENTRYPOINT ["/one"]\nFROM built\nRUN x\n', ["/one"]),
    ],
)
def test_the_last_stages_entry_point_is_what_counts(tmp_path: Path, text: str, words: list[str]) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(text)
    assert entry_point_of(dockerfile) == words

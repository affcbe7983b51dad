"""What a Dockerfile says of its stages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.tasks.dockerfile import Stage, stages_of

if TYPE_CHECKING:
    from pathlib import Path


def _stages(directory: Path, text: str) -> list[Stage]:
    dockerfile = directory / "Dockerfile"
    dockerfile.write_bytes(text.encode())
    return stages_of(dockerfile)


ONE = 'ENTRYPOINT ["/one"]\n'
SHELL_FORM = ["/bin/sh", "-c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM a\nRUN x\n", None),
        ('FROM a\nENTRYPOINT ["/entry", "a b"]\nWORKDIR /app\n', ["/entry", "a b"]),
        ('FROM a\nentrypoint [ "/one", \\\n  "two" ]\n', ["/one", "two"]),
        ('FROM a\r\nENTRYPOINT\t[ "/one", \\  \r\n# between\r\n\r\n"two" ]', ["/one", "two"]),
        ("FROM a\nENTRYPOINT exec serve --all\n", [*SHELL_FORM, "exec serve --all"]),
        ("FROM a\nENTRYPOINT [1]\n", [*SHELL_FORM, "[1]"]),
        ('FROM a\nSHELL ["/bin/bash", "-ec"]\nENTRYPOINT serve\n', ["/bin/bash", "-ec", "serve"]),
        (f"FROM a\n{ONE}ENTRYPOINT []\n", []),
        (f"FROM a AS built\n{ONE}FROM b\n", None),
        (f"FROM --platform=linux/amd64 a AS Built\n{ONE}FROM built\nRUN x\n", ["/one"]),
        (f"ARG WHICH=built\nFROM a AS built\n{ONE}FROM ${{WHICH}}\n", ["/one"]),
        (f"FROM a\nRUN cat <<EOF >x && cat <<-'End' >y\n{ONE}EOF\n{ONE}\tEnd\nRUN x\n", None),
        (f"FROM a\nRUN cat <<<EOF && echo '<<EOF' $((1 << 2))\n{ONE}", ["/one"]),
        (f"FROM a\nRUN x \\\n{ONE}", None),
        (f"FROM a\n# RUN x \\\n{ONE}", ["/one"]),
        (f"FROM a\nONBUILD {ONE}", None),
        (f"# syntax=docker/dockerfile:1\n# escape = `\nFROM a\nRUN x\\\n{ONE}RUN `\n ENTRYPOINT x\n", ["/one"]),
        (f"# a word\n# escape = `\nFROM a\nRUN x\\\n{ONE}", None),
        (f"\ufeffFROM a\n{ONE}RUN x \\", ["/one"]),
    ],
)
def test_the_last_stages_entry_point_is_what_counts(tmp_path: Path, text: str, words: list[str] | None) -> None:
    assert _stages(tmp_path, text)[-1].entry_point == words


@pytest.mark.parametrize(
    ("image", "base"),
    [
        ("a:$V", "a:1 2"),
        ("a:${V}", "a:1 2"),
        ("${NONE:-b}", "b"),
        ("b${V:+c}${NONE:+d}", "bc"),
        ("a:$NONE", "a:$NONE"),
        ("a:$LATER", "a:$LATER"),
    ],
)
def test_what_a_stage_stands_on_is_told_with_the_defaults_of_arguments(tmp_path: Path, image: str, base: str) -> None:
    stages = _stages(
        tmp_path, f'ARG V="1 2" NONE\nFROM {image} AS first\nARG LATER=1\nRUN <<X\nFROM y\nX\nFROM first\n'
    )
    assert [stage.base for stage in stages] == [base, base]


def test_a_file_that_says_nothing_has_no_stage(tmp_path: Path) -> None:
    assert _stages(tmp_path, "# nothing\nENTRYPOINT x\n\\\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "FROM a" + "${a-" * 100_000,
        "FROM a\n" + "x \\\n" * 300_000,
        f"ARG A={'x' * 1_000_000}\nFROM " + "$A" * 2000,
    ],
    ids=["variables", "lines that go on", "long words"],
)
def test_a_dockerfile_of_a_megabyte_takes_no_time_and_memory_without_end(tmp_path: Path, text: str) -> None:
    began = time.process_time()
    assert len(_stages(tmp_path, text)[0].base) < 10_000_000
    assert time.process_time() - began < 5

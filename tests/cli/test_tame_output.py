"""Who watches a sandbox's terminal has his own only shown something."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.cli.tame_output import TameOutput


def tamed(output: str, parts: int) -> str:
    terminal = TameOutput()
    return "".join(terminal.tamed(output[place : place + parts]) for place in range(0, len(output), parts))


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("plain ümläut\r\n\tand \x1b[1;31mred\x1b[0m", "plain ümläut\r\n\tand \x1b[1;31mred\x1b[0m"),
        ("\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l\x1b[3;4Hx\x1b(B\x1b7\x1b8\x1bM\x1b[2 q\x1b[?2J",
         "\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l\x1b[3;4Hx\x1b(B\x1b7\x1b8\x1bM\x1b[2 q\x1b[?2J"),
        ("a\x1b]52;c;cHduZWQ=\x07b\x1b]0;title\x1b\\c\x1bkscreen's\x1b\\d", "abcd"),
        ("a\x1bP$qm\x1b\\b\x1b_G\x1b\\c\x1b^p\x1b\\d\x1bXs\x1b\\e", "abcde"),
        ("a\x1b[6nb\x1b[cc\x1b[>cd\x1b[21te\x1b[?6nf\x1b[?25$pg\x1bZh\x05i\x1b[>qj\x1b[?uk", "abcdefghijk"),
        ("a\x1b[?1000hb\x1b[?1006;25hc\x1b[?2004hd\x1b[?1004he\x1b[>1uf\x1b[>4;2mg", "abcdefg"),
        ("a\x1b[2hb\x1b[20;4hc\x1b%@d\x1b%Ge\x1b[4hf\x1b[34lg", "abcde\x1b[4hf\x1b[34lg"),
        ("a\x9b6nb\x9d0;x\x9cc\x90q\x9cd", "a6nb0;xcqd"),
        ("a\x1b]0;cut off by \x1b[1mbold", "a\x1b[1mbold"),
        ("a\x1b\x1b[1mb\x1b", "a\x1b[1mb"),
    ],
)  # fmt: skip
def test_it_is_shown_and_has_nothing_done(output: str, shown: str) -> None:
    assert [tamed(output, parts) for parts in (*range(1, 9), len(output))] == [shown] * 9


def test_what_has_no_end_is_not_kept() -> None:
    terminal = TameOutput()
    assert len("".join(terminal.tamed(said) for said in ("\x1b[", *["1;" * 1000] * 10, "m"))) > 10_000
    terminal.tamed("\x1b]0;")
    assert [terminal.tamed("x" * 1000) for _ in range(100)] == [""] * 100
    assert terminal.tamed("\x07seen") == "seen"


def test_its_end_leaves_the_screen_that_was_there() -> None:
    terminal = TameOutput()
    terminal.tamed("\x1b[?1049h\x1b[?47h\x1b[?47l")
    assert terminal.end() == "\x1b[?1049l\x1b[!p"

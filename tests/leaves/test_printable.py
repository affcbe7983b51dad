"""Nothing that a sandbox says moves the cursor of who reads it."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox import ExecFailed, ExecResult
from pytest_fargate_sandbox.leaves.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nin lines, ümläut and \N{SNOWMAN}", "plain\ttext\nin lines, ümläut and \N{SNOWMAN}"),
        ("\x1b[2J\x1b[H1 passed", "\\x1b[2J\\x1b[H1 passed"),
        ("\x1b]52;c;cHduZWQ=\x07", "\\x1b]52;c;cHduZWQ=\\x07"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a title in eight bits: \x9d0;x\x9c", "a title in eight bits: \\x9d0;x\\x9c"),
        ("1 \u202edessap", "1 \\u202edessap"),
        ("no UTF-8: \udcff", "no UTF-8: \\udcff"),
        ("dos\r\nlines, 99%\r100%\b\x7f\0", "dos\nlines, 99%\\x0d100%\\x08\\x7f\\x00"),
    ],
)
def test_what_a_terminal_would_obey_it_shows(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_is_fit_for_a_terminal_and_has_the_very_output_beside() -> None:
    with pytest.raises(ExecFailed) as caught:
        ExecResult("\x1b[2Jcleared", "", 1).check()
    assert str(caught.value).endswith("--- stdout (end) ---\n\\x1b[2Jcleared")
    assert caught.value.stdout == "\x1b[2Jcleared"

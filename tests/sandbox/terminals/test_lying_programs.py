"""Programs that say to their terminal what no honest one says."""

from __future__ import annotations

import base64
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.terminals.shell_hook import notes_in
from pytest_fargate_sandbox.sandbox.terminals.shell_marks import PROMPT_ENDS, mark
from pytest_fargate_sandbox.sandbox.terminals.shell_state import ShellState
from tests.sandbox.terminals.emulators import ghostty, pyte

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.terminals.screen import Screen
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

_MIB = 1024 * 1024


def test_a_program_that_asks_on_and_on_and_reads_no_answer_is_interrupted(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = open_terminal(["bash", "--norc"])
    (tmp_path / "questions").write_bytes(b"\x1b[c\x1b[6n\x1b[>q" * 5_000)
    # One program: of a loop bash would go on where one has ended as the signal came.
    terminal.send_keys([f'stty raw -echo isig; yes "$(cat {tmp_path}/questions)"', "Enter"])
    time.sleep(0.5)
    terminal.send_keys("C-c", block=True, max_timeout_sec=60)
    terminal.send_keys("C-c", block=True)  # what was answered it never read: so the shell does
    assert terminal.run("stty sane; echo calm").stdout == "calm\n"


def test_a_program_that_asks_gets_its_answer_and_what_is_typed_next_behind_it(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal(["dash"])
    ask = "clear; stty raw -echo; printf '\\033[3;5Hready\\033[6n'; head -c 10 | od -An -c; stty sane"
    terminal.send_keys([ask, "Enter"])
    terminal.wait_for(re.compile("^    ready", re.MULTILINE))
    terminal.send_keys("abc", block=True)
    assert "033   [   3   ;   1   0   R   a   b   c" in terminal.capture()


def test_a_flood_leaves_the_screen_readable_and_the_memory_as_it_was(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    flood = f"yes {'x' * 99} | head -c 7000000; echo over"
    terminal.run(flood)  # fills the scrollback
    before, slowest = _resident(), 0.0
    terminal.send_keys([flood, "Enter"])
    while "over\n" not in terminal.capture():
        began = time.monotonic()
        terminal.capture()
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.01)
    assert slowest < 1
    assert _resident() - before < 24 * _MIB


@pytest.mark.parametrize("begin", [b"\x1b]2;", b"\x1b]52;c;", b"\x1b_G", b"\x1bX", b"\x1b]8;;http://"])
def test_a_string_without_an_end_fills_no_memory(begin: bytes) -> None:
    screen = ghostty()(80, 24)
    before = _resident()
    screen.feed(begin)
    for _ in range(40):
        screen.feed(b"a" * _MIB)
    assert _resident() - before < 16 * _MIB
    screen.feed(b"\x1b\\\x1b[Hback")
    assert screen.text().startswith("back")


@pytest.mark.parametrize("emulator", [ghostty, pyte])
def test_no_answer_repeats_what_the_program_said(emulator: Callable[[], type[Screen]]) -> None:
    said = b"\x1b]2;evil\revil\x07\x1b[21t\x1b[20t\x1bP$q\revil\r\x1b\\\x1b]52;c;ZXZpbA==\x07\x1b]52;c;?\x07\x05"
    said += b"\x1bP+q6576696c\x1b\\\x1b]4;1;?\x07\x1b[c\x1b[>c\x1b[>q\x1b[6n\x1b[?7$p\x1b[?u\x1b[x"
    answers = emulator()(80, 24).feed(said)
    assert re.search(rb"\x1b\[1;\d+R", answers)
    assert not [word for word in (b"evil", b"6576696c", b"ZXZpbA", b"\r", b"\n") if word in answers]


def test_no_picture_is_read_from_a_file_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "tty-graphics-protocol"  # as kitty wants such a file to be called, which it removes
    file.write_bytes(b"\1\2\3" * 100)
    path = base64.b64encode(os.fsencode(file))
    for medium in (b"f", b"t", b"s"):
        answer = ghostty()(80, 24).feed(b"\x1b_Gi=1,a=T,f=24,s=10,v=10,t=%s;%s\x1b\\" % (medium, path))
        assert b"unsupported medium" in answer
    assert file.exists()


_FINDS_PIPE = "pipe=$(alias _fargate_run | sed 's/[^>]*>\\([^;]*\\);.*/\\1/')"
_MARK = mark(PROMPT_ENDS, "0123456789ab")


def test_marks_of_ours_by_the_thousand_are_taken_one_after_the_other(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    said = terminal.run(f'word=$(printf %s "$PS1" | tail -c {len(_MARK)}); yes "$word" | head -n 20000 | tr -d \'\\n\'')
    assert said.return_code == 0
    assert terminal.run("echo on").stdout == "on\n"


def test_a_note_that_no_shell_writes_is_passed_over(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    assert terminal.run(f"{_FINDS_PIPE}; test -p $pipe && echo P 1 $(yes 9 | head -n 5000 | tr -d '\\n') >$pipe").ok
    assert terminal.run("echo on").stdout == "on\n"


def test_a_shell_that_floods_the_pipe_of_notes_and_ends_has_ended(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    terminal.send_keys([f"{_FINDS_PIPE}; head -c 9000000 /dev/zero >$pipe; exit 7", "Enter"])
    wait_until(lambda: terminal.exit_code, deadline=20, what="its end")
    assert terminal.exit_code == 7
    assert len(notes_in(bytes(_MIB))[1]) < 100


def test_what_is_hidden_until_a_command_begins_fills_no_memory() -> None:
    """It begins when the shell says so, and whoever floods the terminal may have stopped the shell."""
    state = ShellState("word", lambda _: None)
    before = _resident()
    for _ in range(60):
        state.said(b"a" * _MIB, b"")
    assert _resident() - before < 16 * _MIB


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

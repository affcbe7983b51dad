"""A terminal as a person or an agent has it: keys, a screen, a recording."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal
    from tests.exec_server_process import ExecServerProcess


def test_keys_arrive_and_the_screen_shows_what_they_did(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(width=80, height=20)
    terminal.send_keys(["python3 -q", "Enter"])
    terminal.wait_for(">>>")
    terminal.send_keys(["'ab' * 3", "Enter"])
    terminal.wait_for(re.compile("^'ababab'\n>>>", re.MULTILINE))
    column, row = terminal.cursor
    assert (column, terminal.capture().split("\n")[row].rstrip()) == (4, ">>>")
    terminal.send_keys("C-d", block=True)
    assert terminal.run("stty size").stdout == "20 80\n"
    terminal.resize(100, 30)
    assert terminal.run("stty size").stdout == "30 100\n"


def test_a_full_screen_program_is_used_by_keys(open_terminal: Callable[..., Terminal]) -> None:
    need("vim.tiny")
    terminal = open_terminal()
    terminal.run("seq 1 500 > numbers; seq 600 999 >> numbers")
    terminal.send_keys(["vim.tiny -u NONE numbers", "Enter"])
    terminal.wait_for("numbers")
    with pytest.raises(SandboxError, match=r"not at its prompt: `vim\.tiny -u NONE numbers` is running in it"):
        terminal.run("true")
    terminal.send_keys(["G", "o", "the last line", "Escape", ":wq", "Enter"], block=True)
    assert terminal.run("tail -n 2 numbers").stdout == "999\nthe last line\n"


def test_block_waits_for_the_prompt_and_no_longer_than_it_may(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    began = time.monotonic()
    terminal.send_keys(["sleep 0.3", "Enter"], block=True)
    assert 0.3 <= time.monotonic() - began < 5
    with pytest.raises(TimeoutError, match=r"not at its prompt after 0\.2 s"):
        terminal.send_keys(["sleep 60", "Enter"], block=True, max_timeout_sec=0.2)
    assert terminal.is_alive
    terminal.send_keys("C-c", block=True)
    began = time.monotonic()
    terminal.send_keys("x", min_timeout_sec=0.2)
    assert time.monotonic() - began >= 0.2


def test_a_megabyte_is_pasted_whole(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    text = "".join(f"{number:05} {'x' * (number % 90)}\n" for number in range(20_000)) + "y" * 4094 + "\n"
    terminal.run("stty -echo")
    terminal.send_keys(["echo ready; cat > pasted", "Enter"])
    terminal.wait_for(re.compile("^ready$", re.MULTILINE))  # the shell's own editor does not read any more
    terminal.send_keys(text, literal=True)
    terminal.send_keys("C-d", block=True, max_timeout_sec=60)
    assert terminal.run("sha256sum < pasted").stdout.split()[0] == hashlib.sha256(text.encode()).hexdigest()


def test_a_line_that_the_kernel_would_cut_is_refused_before_it_is_typed(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    terminal.send_keys(["cat", "Enter"])
    terminal.send_keys("x" * 4095 + "\n")
    with pytest.raises(
        ValueError, match=r"a line of 5000 bytes, to a program that reads by lines: the kernel keeps 4095"
    ):
        terminal.send_keys("z" * 5000)
    terminal.send_keys("C-c", block=True)
    assert "z" not in terminal.capture(entire=True).replace("bash", "")
    terminal.send_keys(["stty raw -echo; head -c 5000 | wc -c; stty sane", "Enter"])
    terminal.wait_for("stty sane")
    time.sleep(0.2)
    terminal.send_keys("z" * 5000, block=True)
    assert "5000" in terminal.capture()


def test_a_password_is_read_without_an_echo_and_is_not_recorded(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["bash", "--norc"])
    terminal.send_keys(["read -rsp 'pass''word: ' word", "Enter"])
    terminal.wait_for("password:")
    terminal.send_keys(["s3cret", "Enter"], block=True)
    assert terminal.run("echo ${#word}").stdout == "6\n"
    assert "s3cret" not in terminal.capture(entire=True) + terminal.recording()


def test_a_flood_is_interrupted_and_leaves_a_screen_that_can_be_read(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.send_keys(["yes", "Enter"])
    terminal.wait_for("y\ny\ny\n")
    terminal.send_keys("C-c", block=True, max_timeout_sec=10)
    assert terminal.run("echo calm").stdout == "calm\n"
    assert "calm" in terminal.capture()


def test_the_whole_of_what_was_said_can_be_captured(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(height=10)
    terminal.run("seq 1 60000")
    assert terminal.capture().startswith("59")
    entire = terminal.capture(entire=True).split("\n")
    assert "60000" in entire
    assert "20000" in entire
    assert len(entire) <= 50_011


def test_what_is_new_is_told_once(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.run("echo first")
    terminal.incremental_output()
    terminal.run("echo second")
    new = terminal.incremental_output()
    assert "second" in new
    assert "first" not in new


def test_its_recording_is_an_asciicast_that_follows_and_has_its_markers(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(width=90, height=25)
    lines, offset = terminal.stream()
    head = json.loads(lines[0])
    assert (head["version"], head["width"], head["height"]) == (2, 90, 25)
    terminal.mark("tests start")
    terminal.run("echo recorded")
    more, _ = terminal.stream(offset)
    events = [json.loads(line) for line in more]
    assert [text for _, kind, text in events if kind == "m"] == ["tests start"]
    assert "recorded\r\n" in "".join(text for _, kind, text in events if kind == "o")
    assert [seconds for seconds, *_ in events] == sorted(seconds for seconds, *_ in events)
    later = [json.loads(line) for line in terminal.recording(version=3).splitlines()]
    assert (later[0]["version"], later[0]["term"]["cols"]) == (3, 90)


def test_a_program_is_told_that_its_terminal_hangs_up_and_nothing_of_it_stays(
    open_terminal: Callable[..., Terminal], server: ExecServerProcess
) -> None:
    terminal = open_terminal(cwd=str(server.directory))
    terminal.run("sh -c 'trap \"echo hung up > farewell; exit\" HUP; : > ready; while :; do sleep 0.1; done' &")
    terminal.run("until [ -e ready ]; do sleep 0.05; done")
    pids = terminal.run("sleep 300 & (trap '' HUP; sleep 300) & echo; echo $! $$").stdout.split("\n")[-2].split()
    terminal.close()
    assert not terminal.is_alive
    assert server.client.read_file(f"{server.directory}/farewell") == b"hung up\n"
    left = [Path(f"/proc/{pid}") for pid in pids]
    wait_until(lambda: not any(each.exists() for each in left) or None, deadline=10, what="the dead to be buried")
    with pytest.raises(SandboxError, match="is closed"):
        terminal.send_keys("x")


@pytest.mark.root
def test_a_terminal_is_another_users(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(user="nobody", cwd="/tmp")
    assert terminal.run("id -un; tty >/dev/null && echo on a terminal").stdout == "nobody\non a terminal\n"


def test_signals_reach_the_foreground(open_terminal: Callable[..., Terminal]) -> None:
    """And only the group that was meant, which may have ended meanwhile: then the shell lives on."""
    terminal = open_terminal()
    terminal.send_keys(["sh -c 'echo sl''eeps; sleep 300'; echo cod''e $?", "Enter"])
    terminal.wait_for("sleeps", 60)
    terminal._process.signal_foreground(signal.SIGKILL, terminal._process.pid)
    assert terminal._process.state().program.startswith("sh -c")
    terminal.signal(signal.SIGTERM)
    terminal.wait_for("code 143", 60)


FOREGROUND_IS_GONE = """
import os, signal
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    os._exit(0)
os.waitpid(pid, 0)
print("it is " + "gone", flush=True)
os.read(os.pipe()[0], 1)
"""


def test_a_signal_to_whoever_has_just_ended_is_no_error(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["python3", "-c", FOREGROUND_IS_GONE])
    terminal.wait_for("it is gone", 60)
    assert terminal._process.state().program == ""
    terminal.signal(signal.SIGINT)
    assert terminal.is_alive


def test_what_runs_is_named_also_where_its_first_process_has_ended(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.send_keys(["true | sleep 61", "Enter"])
    wait_until(lambda: terminal._process.state().program == "sleep 61" or None, deadline=60, what="it to be named")


def test_mistakes_are_told_in_a_sentence(open_terminal: Callable[..., Terminal]) -> None:
    with pytest.raises(ValueError, match="1 to 1000 columns and rows, not 0 x 30"):
        open_terminal(width=0)
    with pytest.raises(ValueError, match=r"1 to 1000 columns and rows, not 80\.5 x 30"):
        open_terminal(width=80.5)
    for keys in ([1], 7, None):
        with pytest.raises(TypeError, match="a key is a string, not"):
            open_terminal().send_keys(keys)
    shell = open_terminal(["dash"], name="twice")
    with pytest.raises(ValueError, match=r"a key has half of a surrogate pair in it, which is no text: 'x\\ud800'"):
        shell.send_keys(["C-c", "x\ud800"])
    with pytest.raises(TypeError, match="a command is a string, not 5"):
        shell.run(cast("str", 5))
    with pytest.raises(ValueError, match=r"a command has no NUL in it: 'echo \\x00'"):
        shell.run("echo \0")
    with pytest.raises(ValueError, match="an asciicast is of version 2 or 3, not 4"):
        shell.recording(version=4)
    with pytest.raises(ValueError, match="1 to 1000 columns and rows, not 0 x 5"):
        shell.resize(0, 5)
    with pytest.raises(ValueError, match="there is no signal 999"):
        shell.signal(999)
    assert shell.run("printf '\udcff'").stdout_bytes == b"\xff"
    assert shell.stream(10**9)[0] == []
    with pytest.raises(ValueError, match="a terminal of the name 'twice' is open already"):
        open_terminal(name="twice")
    program = open_terminal(["cat"])
    with pytest.raises(SandboxError, match="no shell runs in the terminal"):
        program.run("true")
    with pytest.raises(SandboxError, match="whose prompt could be waited for"):
        program.send_keys("x", block=True)
    with pytest.raises(TimeoutError, match=r"did not come within 0\.1 s"):
        program.wait_for("nothing", timeout=0.1)
    missing = open_terminal(["no-such-program"])
    with pytest.raises(SandboxError, match="is closed: its program has ended with 127"):
        missing.send_keys("x")


def test_bytes_that_are_no_text_are_shown_as_such_however_they_are_cut(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.run(r"printf 'a\303'; sleep 0.05; printf '\274b \377 c\n'")
    assert re.search("aüb . c", terminal.capture())


@pytest.mark.parametrize("program", ["less", "top"])
def test_programs_that_draw_are_drawn(open_terminal: Callable[..., Terminal], program: str) -> None:
    need(program)
    terminal = open_terminal()
    terminal.run("seq 1 300 > numbers")
    terminal.send_keys(["less numbers" if program == "less" else "top", "Enter"])
    terminal.wait_for("numbers" if program == "less" else "load average")
    terminal.send_keys("q", block=True)
    assert terminal.run("echo back").stdout == "back\n"


def test_boxes_of_wide_and_of_combined_characters_are_drawn_in_their_columns(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal()
    boxes = "┌────┐┏━━━┓\n│你好│┃e\u0301o\u0308u┃\n└────┘┗━━━┛"
    at_places = "".join(f"\\033[{row};9H{line}" for row, line in enumerate(boxes.split("\n"), 3))
    terminal.run(f"clear; printf '{at_places}\\033[4;20H<here\\033[9;1H'")
    shown = terminal.capture().split("\n")[2:5]
    assert shown == [" " * 8 + line for line in boxes.replace("u┃", "u┃<here").split("\n")]


def test_many_terminals_are_open_at_once_and_each_has_its_own(open_terminal: Callable[..., Terminal]) -> None:
    """As many as may be: test_terminal_cuts.py."""
    terminals = [open_terminal(["dash"]) for _ in range(12)]
    assert [terminal.run(f"echo {number}").stdout for number, terminal in enumerate(terminals)] == [
        f"{number}\n" for number in range(12)
    ]


def test_a_recording_has_a_line_for_each_event_whatever_was_said(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    terminal.run(r"printf 'a\342\200\250b\302\205c\013d\n'")  # what Unicode, and C, call ends of lines
    lines, _ = terminal.stream()
    assert "a\u2028b\x85c\x0bd\r\n" in "".join(json.loads(line)[2] for line in lines[1:])
    assert terminal.recording(version=3).count("\n") == len(lines)


def test_a_terminal_that_is_closed_under_a_command_is_told_at_once(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    threading.Timer(0.3, terminal.abandon).start()
    began = time.monotonic()
    with pytest.raises(SandboxError, match="was closed while a command ran in it: sleep 5"):
        terminal.run("sleep 5", timeout_sec=60)
    assert time.monotonic() - began < 4


def test_a_shell_that_runs_a_script_is_a_program_like_others(
    open_terminal: Callable[..., Terminal], server: ExecServerProcess
) -> None:
    server.client.write_file(f"{server.directory}/script", "echo from a script; read line; echo got $line")
    terminal = open_terminal(["sh", f"{server.directory}/script"])
    terminal.wait_for("from a script")
    terminal.send_keys(["word", "Enter"])
    assert "got word" in terminal.wait_for("got word")


def test_asciinema_plays_its_recording(open_terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    need("asciinema")
    terminal = open_terminal()
    terminal.mark("colours")
    terminal.run(
        "printf '\\033[1;32mgreen\\033[m  \u4f60\u597d e\u0301 \\342\\224\\200\\n'; seq 1 100; printf '\\a\\tend\\r\\n'"
    )
    terminal.send_keys(["clear; printf '\\033[7mlast screen\\033[m\\033[9;9Hhere\\n'", "Enter"])
    terminal.wait_for(re.compile("^ *here\n.", re.MULTILINE))  # its prompt is in the recording
    file = tmp_path / "recording.cast"
    file.write_text(terminal.recording())
    command = [sys.executable, "-m", "asciinema", "play", "--speed", "1000", str(file)]
    player = open_terminal(command)
    wait_until(lambda: player.exit_code is not None or None, deadline=20, what="the end of the recording")
    assert player.capture() == terminal.capture()
    assert player.exit_code == 0

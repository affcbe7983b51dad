"""Commands in a shell that lives on: the same on bash, dash and busybox's ash."""

from __future__ import annotations

import queue
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.terminals import terminal_shell
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal
    from tests.exec_server_process import ExecServerProcess

SHELLS = [
    pytest.param(["bash", "--norc"], id="bash"),
    pytest.param(["dash"], id="dash"),
    pytest.param(["busybox", "ash"], id="ash", marks=pytest.mark.needs("busybox")),
]


@pytest.fixture(scope="module", params=SHELLS)
def terminal(request: pytest.FixtureRequest, server: ExecServerProcess) -> Iterator[Terminal]:
    """One shell for all commands, one after the other, which is what it is for."""
    terminals = OpenTerminals()
    terminal = terminals.open(
        server.client, Unguarded(), "shell", 100, 30, request.param, env=None, user=None, cwd="/tmp"
    )
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("true", 0, ""),
        ("false", 1, ""),
        ("return 7", 7, ""),
        ("(exit 3)", 3, ""),
        ("cat <<END\n$HOME is\n  'here'\nEND", 0, None),
        ("for i in 1 2 3; do\n  echo line $i\ndone", 0, "line 1\nline 2\nline 3\n"),
        ("printf 'no end of line'", 0, "no end of line"),
        ("echo out; echo err >&2", 0, "out\nerr\n"),
        ("sleep 60 & echo started", 0, None),
        ("if true; then", 2, None),
        ("echo 'never closed", 2, None),
        ("set -u; echo $NOT_SET; echo not here", None, None),
        ("read line </dev/null; echo $?", 0, "1\n"),
        ("read line <<E\ntext\nE\necho $line", 0, "text\n"),
        ("printf '\\033[31mred\\033[0m\\n'", 0, "\x1b[31mred\x1b[0m\n"),
        ("echo 'w\u00f6rld \u4f60\u597d \U0001f40d'", 0, "w\u00f6rld \u4f60\u597d \U0001f40d\n"),
        ("test -t 0 && test -t 1 && test -t 2 && echo a terminal", 0, "a terminal\n"),
        ("seq 1 20000 | tail -n 2", 0, "19999\n20000\n"),
    ],
)
def test_a_command_has_its_own_code_and_its_own_output(
    terminal: Terminal, command: str, code: int | None, output: str | None
) -> None:
    result = terminal.run(command, timeout_sec=20)
    assert code is None or result.return_code == code, result.stdout
    assert output is None or result.stdout == output
    assert "not here" not in result.stdout
    assert terminal.run("set +u; echo next").stdout == "next\n"


def test_what_a_command_leaves_in_the_shell_stays(terminal: Terminal) -> None:
    terminal.run("cd /usr; HERE=there; f() { echo in f: $1; }; alias greet='echo greeted'; set -- one two")
    assert terminal.run("pwd; echo $HERE; f x; greet; echo $# $2").stdout == "/usr\nthere\nin f: x\ngreeted\n2 two\n"
    terminal.run("(exit 9)")
    assert terminal.run("echo $?").stdout == "9\n"
    terminal.run("export ONLY=here; sh -c 'cd /; ONLY=gone'")
    assert terminal.run("echo $ONLY; pwd").stdout == "here\n/usr\n"


def test_a_shell_that_loses_its_prompt_its_aliases_or_its_stdout_is_asked_all_the_same(terminal: Terminal) -> None:
    for loss in ("PS1='$ '", "unalias -a", "exec >/dev/null; echo gone", "exec >/dev/tty"):
        terminal.run(loss)
        assert terminal.run("echo found >/dev/tty").stdout == "found\n", loss


def test_a_time_without_end_is_one(terminal: Terminal) -> None:
    assert terminal.run("echo in time", timeout_sec=float("inf")).stdout == "in time\n"
    assert "in time" in terminal.wait_for("in time", 1e300)


@pytest.mark.parametrize("seconds", [float("nan"), -1, "5", True])
def test_a_time_that_is_none_is_told_before_anything_is_typed(terminal: Terminal, seconds: Any) -> None:
    before = terminal.capture()
    for call in (
        partial(terminal.run, "echo typed", seconds),
        partial(terminal.send_keys, "echo typed", min_timeout_sec=seconds),
        partial(terminal.send_keys, "echo typed", block=True, max_timeout_sec=seconds),
        partial(terminal.wait_for, "typed", seconds),
    ):
        with pytest.raises(ValueError, match=r"expected a number of seconds, 0 or more$"):
            call()
    assert terminal.capture() == before


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_is_told_anew_or_tells_of_itself_is_not_taken_for_ours(
    open_terminal: Callable[..., Terminal], shell: list[str]
) -> None:
    terminal = open_terminal(shell)
    terminal.run("PS4='+ '; set -x")
    said = terminal.run("echo told").stdout.splitlines()
    assert (said[-2].lstrip("+"), said[-1]) == (" echo told", "told")
    terminal.run("set +x; alias echo=false printf=false command=false")
    assert terminal.run("\\echo found").stdout == "found\n"
    terminal.run("unalias echo printf; echo() { false; }; printf() { false; }")
    assert terminal.run("cat <<E\nfound\nE").stdout == "found\n"


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("echo before; sleep 300; echo after", "before\n"),
        ("echo before; while :; do :; done", "before\n"),
        ("trap '' INT; echo before; sleep 300", "before\nKilled\n"),
    ],
    ids=["a child", "the shell itself", "one that ignores it"],
)
def test_what_runs_out_of_time_is_ended_and_the_shell_lives_on(terminal: Terminal, command: str, output: str) -> None:
    terminal.run("STILL=here")
    result = terminal.run(command, timeout_sec=0.3)
    assert (result.return_code, result.timed_out) == (124, True)
    assert result.stdout == output
    assert terminal.run("trap - INT; echo $STILL").stdout == "here\n"


def test_ctrl_c_ends_a_run_with_its_code(terminal: Terminal, tmp_path: Path) -> None:
    began = tmp_path / "began"

    command = f"sh -c ': > \"{began}\"; exec sleep 300'"  # by whoever has the terminal then: it is his that C-c ends
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(terminal.run, command, timeout_sec=60)
        wait_until(lambda: began.exists() or run.done() or None, deadline=60, what="the command to run")
        terminal.send_keys("C-c")
        assert run.result().return_code == 130


@pytest.mark.parametrize("shell", SHELLS)
def test_the_screen_shows_the_command_and_not_how_it_was_run(
    open_terminal: Callable[..., Terminal], shell: list[str]
) -> None:
    terminal = open_terminal(shell)
    terminal.run("echo shown")
    terminal.run("true")
    lines = terminal.capture().split("\n")
    assert [line.endswith("echo shown") for line in lines].index(True) == lines.index("shown") - 1
    assert "fargate" not in terminal.capture(entire=True)
    assert "fargate" not in terminal.recording()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("command", "code"), [("exit 5", 5), ("sleep 60 & exit 6", 6), ("set -e; false", 1), ("kill -9 $$", 137)]
)
def test_a_shell_that_ends_tells_its_code_and_takes_no_more(
    open_terminal: Callable[..., Terminal], shell: list[str], command: str, code: int
) -> None:
    terminal = open_terminal(shell)
    assert terminal.run(f"echo last words; {command}").return_code == code
    assert (terminal.is_alive, terminal.exit_code) == (False, code)
    with pytest.raises(SandboxError, match=f"is closed: its program has ended with {code}"):
        terminal.run("true")


def test_a_shell_that_is_not_at_its_prompt_says_what_is_running(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.send_keys(["sleep 61", "Enter"])
    with pytest.raises(SandboxError, match="not at its prompt: `sleep 61` is running in it"):
        terminal.run("true")
    terminal.send_keys(["C-c"], block=True)
    terminal.send_keys(["Enter"], block=True)  # from here on the shell reads keys; C-v would be the kernel's before
    terminal.send_keys(["echo half", "C-v", "C-j"])
    with pytest.raises(SandboxError, match="waits for the rest of a line"):
        terminal.run("true")
    terminal.send_keys("C-c", block=True)
    assert terminal.run("echo whole").stdout == "whole\n"


def test_a_prompt_that_is_told_to_be_lost_behind_the_end_of_the_command_is_set_again(
    open_terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes and screen are two pipes."""
    terminal = open_terminal()
    assert terminal._shell
    state = terminal._shell.state
    said = state.said

    def say_late(notes: bytes) -> None:
        with terminal._changed:
            said(b"", notes)

    def say(screen: bytes, notes: bytes) -> None:
        before, lost, behind = notes.partition(b"L ")
        said(screen, before)
        if lost:
            threading.Timer(0.2, say_late, [lost + behind]).start()

    monkeypatch.setattr(state, "said", say)
    terminal.run("PS1='$ '")
    assert terminal.run("echo found").stdout == "found\n"


def test_a_shell_that_is_slow_to_its_prompt_is_waited_for(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    busy = "end=$((${EPOCHREALTIME/./} + 1500000)); while ((${EPOCHREALTIME/./} < end)); do :; done"
    terminal.run(f"PROMPT_COMMAND='{busy}'")
    assert terminal.run("PROMPT_COMMAND=; echo in the end").stdout == "in the end\n"


def test_a_shell_within_the_shell_does_not_answer_for_it(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.run("OUTER=yes")
    terminal.send_keys(["sh", "Enter"])
    with pytest.raises(SandboxError, match="`sh` is running in it"):
        terminal.run("true")
    terminal.send_keys("C-d", block=True)
    assert terminal.run("echo $OUTER").stdout == "yes\n"


@pytest.mark.needs("busybox")
def test_what_busybox_asks_its_terminal_is_answered_in_time_and_never_typed_into_a_command(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal(["busybox", "ash"])
    assert min(terminal.run("true").duration_sec for _ in range(10)) < 0.02, "it waits so long where it has no answer"
    assert [terminal.run('read -t 0.05 -r line; echo "[$line]"').stdout for _ in range(5)] == ["[]\n"] * 5
    terminal.send_keys(['echo go; read -r word; echo "=$word="', "Enter"])
    terminal.wait_for(re.compile("^go$", re.MULTILINE))
    terminal.send_keys(["typed", "Enter"], block=True)
    terminal.send_keys(["Up", "Enter"])
    terminal.wait_for(re.compile("^go$.*^go$", re.MULTILINE | re.DOTALL))
    terminal.send_keys(["again", "Enter"], block=True)
    shown = terminal.capture()
    assert ("=typed=\n" in shown, "=again=\n" in shown, "R" in shown) == (True, True, False), "history is as it was"


def test_bash_that_is_interrupted_while_it_draws_what_was_typed_is_brought_to_its_prompt(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal(["bash", "--norc"])
    for _ in range(5):  # half of them would never come
        terminal.send_keys("half" * 200)
        terminal.send_keys("C-c", block=True, max_timeout_sec=10)
    terminal.send_keys(["half" * 200, "C-c"])
    assert terminal.run("echo whole").stdout == "whole\n"


def test_a_reminder_that_nobody_needed_makes_no_command_run_twice(
    open_terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prompt comes when the next command is typed already, as on a machine where the first one was late."""
    monkeypatch.setattr(terminal_shell, "_NUDGE_SEC", 0.001)
    terminal = open_terminal(["bash", "--norc"])
    terminal.run("n=0")
    for number in range(1, 16):
        terminal.send_keys("C-c", block=True)
        result = terminal.run("n=$((n + 1)); echo $n", timeout_sec=20)
        assert (result.stdout, result.return_code) == (f"{number}\n", 0)


def test_an_interrupt_that_comes_behind_the_end_makes_no_command_run_twice(
    open_terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the shell says comes so late that it is interrupted again at its prompt, which it shows twice."""
    terminal = open_terminal(["dash"])
    terminal.run("n=0")
    assert terminal._shell
    late: queue.Queue[tuple[float, bytes, bytes]] = queue.Queue()
    said = terminal._shell.state.said

    def say() -> None:
        while True:
            due, screen, notes = late.get()
            if not due:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            with terminal._changed:
                said(screen, notes)
                terminal._changed.notify_all()

    speaker = threading.Thread(target=say, daemon=True)
    speaker.start()
    with monkeypatch.context() as patch:
        patch.setattr(terminal._shell.state, "said", lambda *what: late.put((time.monotonic() + 0.7, *what)))
        assert terminal.run("sleep 300", timeout_sec=0.1).timed_out
        terminal.run("n=$((n + 1))", timeout_sec=60)
        assert terminal.run("echo $n", timeout_sec=60).stdout == "1\n"
        late.put((0, b"", b""))
        speaker.join()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_prompt_that_is_interrupted_on_its_way_is_not_waited_for(
    open_terminal: Callable[..., Terminal], shell: list[str]
) -> None:
    terminal = open_terminal(shell)
    terminal.run("PS1='$(sleep 0.2)'\"$PS1\"")
    for _ in range(3):
        assert terminal.run("echo on").stdout == "on\n"
        terminal.send_keys("C-c", block=True, max_timeout_sec=10)


def test_who_waits_for_the_prompt_of_a_shell_that_ends_is_told_at_once(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["dash"])
    terminal.send_keys(["exit 3", "Enter"], block=True, max_timeout_sec=60)
    assert (terminal.is_alive, terminal.exit_code) == (False, 3)

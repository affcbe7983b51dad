"""A person at a terminal, joined to one in a sandbox: driven as a person drives it, through a PTY."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.own_terminal import recording_to
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.exec_server_process import ExecServerProcess
    from tests.fault_proxy import FaultProxy

_PROGRAM = """
import sys
from pathlib import Path
from pytest_fargate_sandbox.cli.own_terminal import OwnTerminal, own_size, recording_to
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.cli.main import _signals_end_it
port, token, command, record = sys.argv[1:]
process = ExecClient(port=int(port), token=token).spawn_on_terminal(command, own_size(), env={"TERM": "xterm"})
with _signals_end_it():
    sys.exit(OwnTerminal(process, recording_to(Path(record))).join())
"""


class Person:
    """Sits at a terminal of 80 by 24 and runs a program on it."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, *arguments])
        self.resize(80, 24)
        self.seen = ""
        self.settings = termios.tcgetattr(self.terminal)

    def types(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def sees(self, pattern: str, timeout: float = 20.0) -> str:
        """Waits for it; what was seen since the last time goes with it."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            assert select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))[0], repr(self.seen)
            self.seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
        self.seen = self.seen[found.end() :]
        return found[0]

    def leaves_with(self) -> int:
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def hangs_up(self) -> None:
        """Closes the terminal. What is left instead is none."""
        os.dup2(os.open(os.devnull, os.O_RDWR), self.terminal)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.fixture
def person(server: ExecServerProcess, proxy: FaultProxy, tmp_path: Path) -> Iterator[Person]:
    person = Person("-c", _PROGRAM, str(proxy.port), server.token, "PS1='> ' exec sh -i", str(tmp_path / "cast"))
    yield person
    person.close()


def test_a_shell_has_a_terminal_its_size_and_its_keys_and_leaves_with_its_code(person: Person, tmp_path: Path) -> None:
    person.sees("> ")
    person.types("stty size; tty\r")
    person.sees(r"24 80\r\n/dev/pts/\d+\r\n> ")
    person.resize(100, 30)
    person.types("stty size\r")
    person.sees(r"30 100\r\n> ")
    person.types("sh -c 'echo run$((1 + 1)); exec sleep 300'\r")
    person.sees("run2\r\n")
    person.types("\x03")
    person.sees(r"\^C\r\n> ")
    person.types("exit 7\r")
    assert person.leaves_with() == 7
    assert termios.tcgetattr(person.terminal) == person.settings, "the terminal is as it was"
    lines = (tmp_path / "cast").read_text().splitlines()
    assert json.loads(lines[0])["version"] == 2
    assert "exit 7" in "".join(json.loads(line)[2] for line in lines[1:])


def test_a_connection_that_breaks_loses_no_key_and_shows_nothing_twice(person: Person, proxy: FaultProxy) -> None:
    person.sees("> ")
    for number in range(5):
        proxy.cut()
        person.types(f"echo say{number}ing\r")
        person.sees(rf"echo say{number}ing\r\nsay{number}ing\r\n> ")


def test_who_is_stuck_leaves_by_enter_tilde_dot(person: Person) -> None:
    person.sees("> ")
    person.types("trap '' HUP INT TERM; cat\r")
    person.sees("cat\r\n")
    person.types("\r~.")
    assert person.leaves_with() == 129
    assert termios.tcgetattr(person.terminal) == person.settings


def test_a_terminal_that_is_closed_takes_with_it_what_ran_in_it(person: Person) -> None:
    person.sees("> ")
    person.types("sh -c 'echo is $$; exec sleep 300'\r")
    pid = person.sees(r"is \d+\r\n").split()[1]
    person.hangs_up()
    assert person.leaves_with() == 129
    wait_until(lambda: not Path("/proc", pid).exists() or None, deadline=10, what="the end of sleep")


def test_a_recording_that_cannot_be_written_is_told_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"--record .*/missing/cast: No such file or directory"):
        recording_to(tmp_path / "missing" / "cast")

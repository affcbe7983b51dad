"""The warm Python of all tests serves each of them, whatever becomes of another that asks for a copy."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import warm_python

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(name="another")
def _another() -> Generator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(warm_python.address())
        yield connection


def test_whoever_goes_before_he_has_said_what_he_wants_is_forgotten(another: socket.socket) -> None:
    another.close()
    assert _a_copy_runs()


def test_whoever_is_killed_in_the_middle_of_it_is_forgotten_with_his_files(another: socket.socket) -> None:
    with Path("/dev/null").open() as file:
        socket.send_fds(another, [b'{"arguments": ['], [file.fileno()])
    another.close()
    assert _a_copy_runs()


@pytest.mark.usefixtures("another")
def test_whoever_says_nothing_yet_is_not_waited_for() -> None:
    assert _a_copy_runs()


SOON_KILLED = """
import os, signal, socket, sys
connection, _ = socket.socket(fileno=int(sys.argv[1])).accept()
connection.recv(1 << 20)
connection.sendall(b"%d\\n" % os.getpid())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_copy_whose_warm_python_is_killed_counts_as_killed(tmp_path: Path) -> None:
    """Not as an error of whoever asks for its end: that would be told in place of all that a run has to say."""
    program = tmp_path / "warm.py"
    program.write_text(SOON_KILLED)
    warm = warm_python.WarmProcess(str(program))

    class Copy(warm_python.Popen[str]):
        def _address(self) -> str:
            return warm.address

    assert Copy(["-c", "pass"]).wait(60) == -signal.SIGKILL
    warm._process.wait()


def _a_copy_runs() -> bool:
    return warm_python.run("-c", "print('here')", timeout=20).stdout == "here\n"

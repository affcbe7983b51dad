"""Terminals of a bare server: commands in their shells, keys to the screen, floods, against floors of the same run."""

from __future__ import annotations

import os
import pty
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, at_least, at_most, medians_in_turn, seconds, told
from benchmarks.sandbox import MIB, bare_server
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox import ExecClient
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

FLOOD = f"yes {'x' * 99} | head -c 100000000"


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as folder, bare_server(Path(folder)) as client:
        terminals = OpenTerminals()
        opened = [seconds(partial(_open, terminals, client, str(number))) for number in range(10)]
        yield at_most("open_terminal", 1000 * statistics.median(opened), 30, " ms")
        terminal = terminals.all()[0]
        yield from commands(terminal, client)
        yield from screens(terminal)
        yield from floods(terminal)
        for each in terminals.all():
            each.close()


def _open(terminals: OpenTerminals, client: ExecClient, name: str) -> Terminal:
    command = ["bash", "--norc"]
    return terminals.open(client, Unguarded(), name, 160, 40, command, env=None, user=None, cwd="/tmp")


def commands(terminal: Terminal, client: ExecClient) -> Iterator[Figure]:
    through, bare = (
        1000 * each for each in medians_in_turn(100, lambda: terminal.run("true"), lambda: client.exec("true"))
    )
    yield at_most("terminal.run against exec", through / bare, 3, " x", f"{through:.2f} ms against {bare:.2f} ms")
    yield at_most("terminal.run", through, 5, " ms")


def screens(terminal: Terminal) -> Iterator[Figure]:
    taken = []
    for number in range(50):
        text = f": {number:04}"
        taken.append(seconds(partial(_type_and_see, terminal, text)))
        terminal.send_keys("Enter", block=True, max_timeout_sec=10)
    yield at_most("send_keys to the screen", 1000 * statistics.median(taken), 10, " ms")
    [again] = medians_in_turn(100, terminal.capture)
    yield at_most("capture of an unchanged screen", 1000 * again, 1, " ms")


def _type_and_see(terminal: Terminal, text: str) -> None:
    terminal.send_keys(text)
    terminal.wait_for(text)


def floods(terminal: Terminal) -> Iterator[Figure]:
    floor = seconds(_bare_flood)
    terminal.run("seq 1 60000")  # its scrollback is full, and what is called first was called
    terminal.capture()
    before = _resident()
    took = seconds(lambda: terminal.send_keys([FLOOD, "Enter"], block=True, max_timeout_sec=300))
    captured = 1000 * seconds(terminal.capture)
    yield at_least("100 MB through a terminal", 100 / took, 30, " MB/s", f"a bare PTY loop: {100 / floor:.0f} MB/s")
    yield told("100 MB through a terminal against a bare PTY loop", took / floor, " x")
    yield at_most("capture behind it", captured, 100, " ms")
    yield at_most("resident memory grown by it", (_resident() - before) / MIB, 16, " MiB")
    terminal.send_keys(["yes", "Enter"])
    terminal.wait_for("y\ny\ny")
    yield at_most("yes interrupted by C-c", seconds(lambda: terminal.send_keys("C-c", block=True)), 0.5, " s")


def _bare_flood() -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.execv("/bin/sh", ["sh", "-c", FLOOD])
    try:
        while os.read(master, 65536):
            pass
    except OSError:  # its end, as a terminal tells it
        pass
    os.close(master)
    os.waitpid(pid, 0)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

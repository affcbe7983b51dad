"""Terminals whose connections break, whose places are taken, whose programs are killed or run wild."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals
from pytest_fargate_sandbox.sandbox.terminals.recording import Recording
from tests.exec_server_process import ExecServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal
    from tests.fault_proxy import FaultProxy

_NOBODY = 24_613
"""Whose processes are counted, and are no other test's."""


@pytest.fixture
def terminal(server: ExecServerProcess, proxy: FaultProxy) -> Iterator[Terminal]:
    """Reaches the server through the proxy."""
    client = ExecClient(port=proxy.port, token=server.token, limits=LIMITS._replace(breaks_sec=5.0))
    terminal = _opened(OpenTerminals(), client, "cut", ["dash"])
    yield terminal
    terminal.close()
    client.close()


def _opened(terminals: OpenTerminals, client: ExecClient, name: str, command: list[str]) -> Terminal:
    return terminals.open(client, Unguarded(), name, 80, 24, command, env=None, user=None, cwd="/tmp")


@contextmanager
def _cutting(proxy: FaultProxy, seed: int, most: int) -> Iterator[None]:
    """Every connection breaks within so many bytes, again and again."""
    chance, stopped = random.Random(seed), threading.Event()

    def cut_on_and_on() -> None:
        while not stopped.wait(0.002):
            if proxy.left is None:
                proxy.cut_after(chance.randrange(most // 10, most))

    proxy.cut_after(most // 10)
    thread = threading.Thread(target=cut_on_and_on)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        proxy.left = None


@pytest.mark.parametrize("seed", range(2))
def test_output_is_whole_though_every_connection_breaks(terminal: Terminal, proxy: FaultProxy, seed: int) -> None:
    before = proxy.connections
    with _cutting(proxy, seed, 300_000):
        result = terminal.run("seq 1 200000", timeout_sec=20)
    assert result.stdout == "".join(f"{number}\n" for number in range(1, 200_001))
    assert proxy.connections - before > 1
    assert "200000" in terminal.capture()


def test_what_is_typed_arrives_once_though_every_connection_breaks(
    terminal: Terminal, proxy: FaultProxy, tmp_path: Path
) -> None:
    text = "".join(f"{number:05} {'x' * (number % 90)}\n" for number in range(20_000))
    terminal.run("stty -echo")
    terminal.send_keys([f"echo ready; cat > '{tmp_path}/typed'", "Enter"])
    terminal.wait_for(re.compile("[#$] ready$", re.MULTILINE))
    before = proxy.connections
    with _cutting(proxy, 3, 200_000):
        terminal.send_keys(text, literal=True)
    terminal.send_keys("C-d", block=True, max_timeout_sec=20)
    assert hashlib.sha256((tmp_path / "typed").read_bytes()).digest() == hashlib.sha256(text.encode()).digest()
    assert proxy.connections - before > 1


def test_the_sixty_fifth_takes_the_place_of_the_one_that_was_idle_for_the_longest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, terminals = ExecServerProcess(tmp_path), OpenTerminals()
    try:
        silent = _opened(terminals, server.client, "silent", ["sh", "-c", "stty -echo; exec cat >/dev/null"])
        opened = [_opened(terminals, server.client, str(number), ["cat"]) for number in range(54)]
        opened[30].send_keys("C-c")
        wait_until(lambda: opened[30].exit_code, deadline=10, what="the end of one")
        opened += [_opened(terminals, server.client, str(number), ["cat"]) for number in range(54, 58)]
        assert not caplog.records
        opened += [_opened(terminals, server.client, str(number), ["cat"]) for number in range(58, 63)]
        assert caplog.messages[0].startswith(
            "60 terminals are open in this sandbox; the 65th ends the one that is idle"
        )
        opened[0].send_keys(["used", "Enter"])
        opened[0].wait_for("used\nused")
        silent.send_keys(["typed", "Enter"])
        opened += [_opened(terminals, server.client, str(number), ["cat"]) for number in range(63, 66)]
        gone = [number for number, terminal in enumerate(opened) if not _answers(terminal)]
        assert gone == [1, 2, 30], "the one that had ended goes first"
        assert _answers(silent), "who is typed on is in use, though it says nothing"
        with pytest.raises(SandboxError, match="was ended to make room for another terminal: 64 are the most"):
            opened[1].send_keys("x")
    finally:
        terminals.close()
        server.close()


def _answers(terminal: Terminal) -> bool:
    try:
        terminal._process.state()
    except SandboxError:
        return False
    return True


def test_a_shell_that_is_killed_under_a_run_ends_it(
    open_terminal: Callable[..., Terminal], server: ExecServerProcess
) -> None:
    terminal = open_terminal(["dash"])
    pid = terminal.run("echo $$").stdout.strip()
    threading.Timer(0.2, server.client.exec, [f"kill -9 {pid}"]).start()
    result = terminal.run("echo begun; sleep 300", timeout_sec=60)
    assert (result.return_code, result.timed_out, result.stdout) == (137, False, "begun\n")
    assert (terminal.is_alive, terminal.exit_code) == (False, 137)


@pytest.mark.root
def test_a_fork_bomb_is_gone_when_its_terminal_is_closed(
    open_terminal: Callable[..., Terminal], server: ExecServerProcess
) -> None:
    terminal = open_terminal(["bash", "--norc"], user=str(_NOBODY), cwd="/")
    assert terminal.run("ulimit -u 60; ulimit -u").stdout == "60\n", "without it this machine would go down"
    terminal.send_keys(["bomb() { bomb | bomb & sleep 300; }; bomb", "Enter"])
    terminal.wait_for("Resource temporarily unavailable")
    terminal.close()
    counted = server.client.exec(f"ps -o pid= -U {_NOBODY} | wc -l")
    assert (counted.return_code, counted.stdout.strip()) == (0, "0")


def test_a_recording_that_is_full_says_so_and_is_no_bigger() -> None:
    recording = Recording(80, 24, most=2000)
    for number in range(500):
        recording.output(b"\x1b[31m%d\r\n" % number)
    lines, size = recording.stream()
    assert json.loads(lines[-1])[1:] == ["m", "the recording ends here: it would be bigger than 2000 bytes"]
    assert 1700 < size <= 2000
    recording.output(b"x" * 5000)
    recording.mark("late")
    assert recording.stream(size) == ([], size)

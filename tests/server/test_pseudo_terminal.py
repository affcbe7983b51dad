"""A command's terminal, as the server deals with it."""

from __future__ import annotations

import os
import signal

from pytest_fargate_sandbox.server.commands.pseudo_terminal import PseudoTerminal


def test_a_terminal_whose_session_has_just_ended_has_nobody_to_signal_and_not_the_server() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _frame: heard.append(number))
    terminal = PseudoTerminal(80, 24, None, None)
    terminal.open()
    try:
        assert terminal.foreground() == 0
        terminal.signal(signal.SIGURG, 0)
    finally:
        signal.signal(signal.SIGURG, before)
        os.close(terminal.stdin)
        terminal.close_theirs()
        terminal.close_ours()
    assert heard == []

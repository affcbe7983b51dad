"""A terminal with the names that harnesses of tmux sessions use."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from pytest_fargate_sandbox.sandbox.terminals.terminal_session import TerminalCommand, TerminalSession
from tests.exec_server_process import ExecServerProcess, LoopbackSandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal
    from pytest_fargate_sandbox.sandbox.workspace import Workspace


@pytest.fixture
def session(open_terminal: Callable[..., Terminal], server: ExecServerProcess) -> TerminalSession:
    return TerminalSession(cast("Workspace", LoopbackSandbox(server.client)), open_terminal(["dash"]))


@pytest.mark.parametrize("enter", ["Enter", "C-m", "KPEnter", "C-j", "^M", "^J"])
def test_all_names_of_enter_are_enter(session: TerminalSession, enter: str) -> None:
    session.send_keys(["echo typed", enter], block=True, max_timeout_sec=20)
    assert "\ntyped\n" in session.capture_pane()


def test_a_command_is_typed_and_waited_for(session: TerminalSession) -> None:
    session.send_command(TerminalCommand("echo one; sleep 0.2; echo two", block=True, max_timeout_sec=20))
    assert "\none\ntwo\n" in session.capture_pane(capture_entire=True)
    with pytest.raises(TimeoutError):
        session.send_command(TerminalCommand("sleep 60", block=True, max_timeout_sec=0.2))
    assert session.is_session_alive()
    session.terminal.send_keys("C-c", block=True)
    session.send_command(TerminalCommand("echo half", block=True, append_enter=False))
    session.send_keys("\n", block=True)
    assert "\nhalf\n" in session.capture_pane()


def test_new_output_has_its_heading_and_so_has_a_screen_without_any(session: TerminalSession) -> None:
    assert session.get_incremental_output().startswith("Current Terminal Screen:\n")
    session.send_keys(["echo fresh", "Enter"], block=True)
    new = session.get_incremental_output()
    assert new.startswith("New Terminal Output:\n")
    assert "\nfresh\n" in new
    assert session.get_asciinema_timestamp() > 0


def test_files_are_copied_in(session: TerminalSession, tmp_path: Path, server: ExecServerProcess) -> None:
    tree, there = tmp_path / "tree", f"{server.directory}/copied"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "file").write_text("x")
    session.copy_to_sandbox(tree, there)
    session.copy_to_sandbox([tree / "below" / "file"], there, "renamed")
    assert server.client.list_files(there) == ["below", "renamed"]
    with pytest.raises(ValueError, match="container_dir"):
        session.copy_to_sandbox(tree)
    with pytest.raises(ValueError, match="exactly one file"):
        session.copy_to_sandbox([tree], there, "name")
    session.stop()
    assert not session.is_session_alive()

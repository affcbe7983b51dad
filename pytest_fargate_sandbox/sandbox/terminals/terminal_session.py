"""A terminal with the names that harnesses of tmux sessions use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal
    from pytest_fargate_sandbox.sandbox.workspace import Workspace

_ENTER = {"Enter", "C-m", "KPEnter", "C-j", "^M", "^J"}


@dataclass(frozen=True)
class TerminalCommand:
    """What ``send_command`` takes: any object with these attributes does."""

    command: str
    min_timeout_sec: float = 0.0
    max_timeout_sec: float = 180.0
    block: bool = False
    append_enter: bool = True


class TerminalSession:
    """``is_active_stream`` is kept for whoever asks: a session is always recorded as it runs."""

    def __init__(self, workspace: Workspace, terminal: Terminal, *, is_active_stream: bool = False) -> None:
        self._workspace = workspace
        self.terminal = terminal
        self.is_active_stream = is_active_stream

    def send_keys(
        self,
        keys: str | Sequence[str],
        block: bool = False,
        min_timeout_sec: float = 0.0,
        max_timeout_sec: float = 180.0,
    ) -> None:
        """Type; with ``block``, what ends with Enter is waited for until the shell is at its prompt again."""
        parts = [keys] if isinstance(keys, str) else list(keys)
        parts = ["Enter" if part in _ENTER else part for part in parts]
        runs = bool(parts) and (parts[-1] == "Enter" or parts[-1].endswith(("\n", "\r")))
        self.terminal.send_keys(parts, block and runs, min_timeout_sec, max_timeout_sec)

    def send_command(self, command: TerminalCommand) -> None:
        keys = [command.command, "Enter"] if command.append_enter else [command.command]
        self.send_keys(keys, command.block, command.min_timeout_sec, command.max_timeout_sec)

    def capture_pane(self, capture_entire: bool = False) -> str:
        return self.terminal.capture(entire=capture_entire)

    def is_session_alive(self) -> bool:
        return self.terminal.is_alive

    def get_incremental_output(self) -> str:
        """What is new since the last call under the one heading, or the screen as it is under the other."""
        is_new, text = self.terminal.new_output()
        return f"{'New Terminal Output' if is_new else 'Current Terminal Screen'}:\n{text}"

    def get_asciinema_timestamp(self) -> float:
        """Seconds from the beginning of its recording."""
        return self.terminal.recorded_sec

    def copy_to_sandbox(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        container_dir: str | None = None,
        container_filename: str | None = None,
    ) -> None:
        """Copy files, and of directories what is in them, into ``container_dir``; one file under another name."""
        copy_in(self._workspace, paths, container_dir, container_filename)

    def stop(self) -> None:
        self.terminal.close()


def copy_in(
    workspace: Workspace,
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    container_dir: str | None,
    container_filename: str | None,
) -> None:
    """As ``TerminalSession.copy_to_sandbox``."""
    if not container_dir:
        raise ValueError("container_dir says where to copy to, and is missing")
    given = [paths] if isinstance(paths, (str, Path)) or not isinstance(paths, (list, tuple)) else list(paths)
    sources = [Path(each) for each in given]  # type: ignore[arg-type]
    if container_filename is not None and (len(sources) != 1 or sources[0].is_dir()):
        raise ValueError(f"container_filename is for exactly one file, not for {[str(each) for each in sources]}")
    for source in sources:
        name = "" if source.is_dir() else f"/{container_filename or source.name}"
        workspace.upload(source, container_dir.rstrip("/") + name if name else container_dir)

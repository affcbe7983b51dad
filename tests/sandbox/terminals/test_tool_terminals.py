"""Processes by handle, as the tool calls of agents have them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.terminals.tool_terminals import PtyUpdate, ToolTerminals, cut_to_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.exec_server_process import ExecServerProcess


@pytest.fixture
def tools() -> Iterator[ToolTerminals]:
    tools = ToolTerminals()
    yield tools
    tools.end_all()


@pytest.fixture
def start(tools: ToolTerminals, server: ExecServerProcess) -> Callable[..., PtyUpdate]:
    def start_(
        command: str, yield_time_s: float = 10, budget: int | None = None, timeout: float | None = None, **options: Any
    ) -> PtyUpdate:
        options = {"cwd": None, "user": None, "shell": None, "tty": False, **options}
        return tools.start(server.client, Unguarded(), command, yield_time_s, budget, timeout, **options)

    return start_


def test_what_ends_in_time_has_its_code_and_no_id(start: Callable[..., PtyUpdate]) -> None:
    began = time.monotonic()
    assert start("echo out; echo err >&2; exit 3") == PtyUpdate(None, "out\nerr\n", 3, None)
    assert time.monotonic() - began < 5, "it is told when it ends, not when the time is over"
    assert start("echo ${BASH_VERSION:+bash}", shell="bash").output == "bash\n"
    assert start("pwd", cwd="/usr").output == "/usr\n"
    assert start("sleep 60", timeout=0.3).exit_code == 124


def test_what_goes_on_is_written_to_and_asked_again(start: Callable[..., PtyUpdate], tools: ToolTerminals) -> None:
    update = start("echo ready; while read -r line; do echo got $line; done; exit 4", yield_time_s=0.3, tty=True)
    assert (update.output, update.exit_code) == ("ready\r\n", None)
    assert update.process_id
    assert 1_000 <= update.process_id < 100_000
    assert "got x\r\n" in tools.write(update.process_id, "x\n", 0.3, None).output
    last = tools.write(update.process_id, "\x04", 10, None)
    assert (last.process_id, last.exit_code) == (None, 4)
    with pytest.raises(SandboxError, match=rf"no process has the id {update.process_id}: it has ended"):
        tools.write(update.process_id, "x", 0.3, None)
    with pytest.raises(SandboxError, match="no process has the id 7: it has ended, or was never started here"):
        tools.write(7, "", 0.3, None)


def test_an_empty_write_waits_longer_and_returns_at_the_end(
    start: Callable[..., PtyUpdate], tools: ToolTerminals
) -> None:
    update = start("sleep 1; echo late", yield_time_s=0)
    assert update.process_id
    began = time.monotonic()
    assert tools.write(update.process_id, "", 0, None) == PtyUpdate(None, "late\n", 0, None)
    assert time.monotonic() - began < 4.5


def test_what_is_more_than_the_budget_is_cut_in_the_middle(start: Callable[..., PtyUpdate]) -> None:
    update = start("seq 1 100000", budget=50)
    assert update.output.startswith("1\n2\n3\n")
    assert update.output.endswith("99999\n100000\n")
    assert len(update.output.encode()) <= 200
    assert update.original_token_count == -(-588_895 // 4)
    assert cut_to_tokens("short", 100) == ("short", None)
    assert cut_to_tokens("text", 0) == ("", 1)
    assert cut_to_tokens("wörld " * 100, 20)[1] == -(-700 // 4)


def test_all_of_them_end_at_once(
    start: Callable[..., PtyUpdate], tools: ToolTerminals, server: ExecServerProcess
) -> None:
    update = start("sleep 300 & echo $!; wait", yield_time_s=0.3)
    tools.end_all()
    asked = f"kill -0 {update.output.strip()}"  # which finds the dead, too, until their end has been noticed
    wait_until(lambda: not server.client.exec(asked).ok or None, deadline=30, what="the end of it")

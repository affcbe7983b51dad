"""Processes by handle, as the SDK's tools have them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from agents.sandbox.errors import (
    ExecTimeoutError,
    ExecTransportError,
    PtySessionNotFoundError,
    WorkspaceRootNotFoundError,
)
from agents.sandbox.session.pty_types import PTY_PROCESSES_MAX, PTY_PROCESSES_WARNING

from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClientOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient

    Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def ended(run: Run, session: Any) -> Any:
    yield
    run(session.pty_terminate_all())


def test_a_process_that_ends_has_an_exit_code_and_no_id(run: Run, session: Any) -> None:
    began = time.monotonic()
    update = run(session.pty_exec_start("echo out; echo err >&2; pwd; echo $SECOND; exit 3"))
    assert (update.process_id, update.exit_code, update.original_token_count) == (None, 3, None)
    assert sorted(update.output.split()) == sorted(b"out err /workspace manifest".split())
    assert time.monotonic() - began < 8, "it waited for more, though the process had ended"


def test_a_terminal_is_typed_on_and_answers_until_it_ends(run: Run, session: Any) -> None:
    first = run(session.pty_exec_start("tty; cat; echo over", tty=True, yield_time_s=0.5))
    assert first.output.startswith(b"/dev/pts/")
    assert first.exit_code is None
    typed = run(session.pty_write_stdin(session_id=first.process_id, chars="hello\n", yield_time_s=0.5))
    assert typed.output == b"hello\r\nhello\r\n"
    last = run(session.pty_write_stdin(session_id=first.process_id, chars="\x04", yield_time_s=5))
    assert (last.output, last.exit_code, last.process_id) == (b"over\r\n", 0, None)
    with pytest.raises(PtySessionNotFoundError):
        run(session.pty_write_stdin(session_id=first.process_id, chars="", yield_time_s=0.25))


def test_control_c_reaches_the_program(run: Run, session: Any) -> None:
    first = run(session.pty_exec_start("sleep 86393", tty=True, yield_time_s=0.25))
    ended = run(session.pty_write_stdin(session_id=first.process_id, chars="\x03", yield_time_s=5))
    assert ended.process_id is None
    assert ended.exit_code == 130


def test_without_a_terminal_there_is_no_stdin_and_asking_waits_for_five_seconds(run: Run, session: Any) -> None:
    assert run(session.pty_exec_start("cat", yield_time_s=5)).exit_code == 0
    first = run(session.pty_exec_start("sleep 1; echo late", yield_time_s=0.25))
    assert first.process_id
    with pytest.raises(RuntimeError, match=r"^stdin is not available for this process$"):
        run(session.pty_write_stdin(session_id=first.process_id, chars="x"))
    asked = run(session.pty_write_stdin(session_id=first.process_id, chars="", yield_time_s=0.25))
    assert (asked.output, asked.exit_code) == (b"late\n", 0)


def test_a_letter_of_several_bytes_comes_in_one_piece(run: Run, session: Any) -> None:
    first = run(session.pty_exec_start("printf '\\303'; sleep 1; printf '\\266'", yield_time_s=0.5))
    assert first.output == b""
    assert run(session.pty_write_stdin(session_id=first.process_id, chars="")).output == "ö".encode()


def test_output_is_cut_to_its_tokens_and_of_a_flood_the_end_is_kept(run: Run, session: Any) -> None:
    update = run(session.pty_exec_start("seq 100000", max_output_tokens=50))
    assert update.original_token_count > 100_000
    assert len(update.output) < 1000
    flood = run(session.pty_exec_start("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the-end"))
    assert 4_000_000 < len(flood.output) < 10_000_000
    assert flood.output.endswith(b"\nthe-end\n")


def test_a_user_has_his_terminal(run: Run, session: Any) -> None:
    assert run(session.pty_exec_start("id -un", user="nobody", tty=True)).output == b"nobody\r\n"
    with pytest.raises(ExecTransportError, match="no user 'somebody'"):
        run(session.pty_exec_start("true", user="somebody"))


def test_a_program_that_is_not_there_and_a_shell_of_one_s_own(run: Run, session: Any) -> None:
    assert run(session.pty_exec_start("no-such-program", shell=False, tty=True)).exit_code == 127
    assert run(session.pty_exec_start("echo $0", shell=["bash", "-c"])).output == b"bash\n"


def test_what_has_no_place_to_begin_says_so(run: Run, session: Any) -> None:
    run(session.exec("mv /workspace /elsewhere"))
    try:
        with pytest.raises(WorkspaceRootNotFoundError):
            run(session.pty_exec_start("true"))
    finally:
        session._inner.sandbox.blocking.exec("mv /elsewhere /workspace")


def test_all_are_ended_together_with_what_they_started(run: Run, session: Any) -> None:
    for tty in (True, False):
        assert run(session.pty_exec_start("sleep 86392 & sleep 86392", tty=tty, yield_time_s=0.25)).process_id
    run(session.pty_terminate_all())
    assert run(session.exec("pgrep", "-f", "^sleep 86392", shell=False)).exit_code == 1


def test_who_is_cancelled_while_a_process_starts_or_speaks_leaves_none(run: Run, session: Any) -> None:
    async def act(after: float) -> None:
        starting = asyncio.ensure_future(session.pty_exec_start("sleep 86389", tty=True))
        await asyncio.sleep(after)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    for after in (0.0, 0.001, 0.01):
        run(act(after))
    run(act(0.5))  # it began, and is the session's
    run(session.pty_terminate_all())
    assert run(session.exec("pgrep", "-f", "^sleep 86389", shell=False)).exit_code == 1


def test_what_does_not_begin_in_time_is_a_timeout_and_leaves_none(run: Run, session: Any) -> None:
    for _ in range(50):  # where the loop itself is late, it has begun before anybody looked at the clock
        try:
            run(session.pty_exec_start("sleep 86388", timeout=0))
            run(session.pty_terminate_all())
        except ExecTimeoutError as error:  # noqa: PERF203
            late = error
            break
    assert late.timeout_s == 0.001
    assert run(session.exec("pgrep", "-f", "^sleep 86388", shell=False)).exit_code == 1


def test_for_one_too_many_the_one_that_was_idle_longest_is_ended(
    run: Run, session: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        first = await session.pty_exec_start("sleep 86387", yield_time_s=0.25)
        await asyncio.gather(
            *(session.pty_exec_start("sleep 86386", yield_time_s=0.25) for _ in range(PTY_PROCESSES_WARNING - 2))
        )
        assert not caplog.records
        with caplog.at_level(logging.WARNING):
            rest = [
                await session.pty_exec_start("sleep 86386", yield_time_s=0.25)
                for _ in range(PTY_PROCESSES_MAX - PTY_PROCESSES_WARNING + 2)
            ]
        assert caplog.records[0].getMessage().startswith(f"{PTY_PROCESSES_WARNING} processes are open")
        with pytest.raises(PtySessionNotFoundError):
            await session.pty_write_stdin(session_id=first.process_id, chars="")
        assert (await session.exec("pgrep", "-f", "^sleep 86387", shell=False)).exit_code == 1
        assert len(rest) == 6

    run(act())


def test_a_task_that_dies_under_a_process_is_told_and_no_session_of_it_is_left(
    run: Run, client: FargateSandboxClient, alive: Callable[[], set[str]], engine: Any
) -> None:
    async def act() -> None:
        session = await client.create(options=FargateSandboxClientOptions())
        await session.start()
        update = await session.pty_exec_start("sleep 86385", tty=True, yield_time_s=0.25)
        (arn,) = alive()
        engine.aws.call("ecs", "StopTask", cluster="local", task=arn)
        with pytest.raises(ExecTransportError) as lost:
            await session.pty_write_stdin(session_id=update.process_id, chars="", yield_time_s=20)
        assert lost.value.retryable is False
        with pytest.raises(PtySessionNotFoundError):
            await session.pty_write_stdin(session_id=update.process_id, chars="")
        await session.shutdown()

    run(act())

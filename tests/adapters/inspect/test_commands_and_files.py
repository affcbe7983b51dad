"""What commands and files give, where Inspect's own checks do not look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread
from inspect_ai.util import (
    ExecCompleted,
    ExecRemoteAwaitableOptions,
    ExecRemoteStreamingOptions,
    ExecStderr,
    ExecStdout,
    OutputLimitExceededError,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
)
from inspect_ai.util._sandbox.limits import override_sandbox_output_limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.adapters.inspect import FargateSandboxEnvironment as Sandbox
    from tests.adapters.inspect.conftest import Sandboxes


async def test_a_command_that_is_none_is_a_result(sandbox: Sandbox) -> None:
    for cannot, told in (
        ({"cmd": ["no-such-program"]}, "no-such-program: not found"),
        ({"cmd": ["true"], "cwd": "/no/where"}, "No such file or directory: /no/where"),
        ({"cmd": ["true"], "user": "nobody-here"}, "there is no user 'nobody-here'"),
        ({"cmd": ["echo", "\ud800"]}, "'\\ud800'"),
        ({"cmd": []}, "the command is empty"),
    ):
        result = await sandbox.exec(**cannot)  # type: ignore[arg-type]
        assert (result.success, result.returncode) == (False, 127 if "program" in told else 126)
        assert told in result.stderr


async def test_a_nul_byte_is_what_inspect_calls_it(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="embedded null byte"):
        await sandbox.exec(["echo", "a\0b"])


async def test_what_a_command_said_until_its_time_was_over_is_told(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="timed out after 1 seconds") as caught:
        await sandbox.exec(["sh", "-c", "echo begun; sleep 60"], timeout=1)
    assert caught.value.truncated_output == "begun\n"  # type: ignore[attr-defined]


async def test_a_command_whose_time_is_over_is_not_run_again(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        await sandbox.exec(["sh", "-c", "echo once >> /tmp/runs; sleep 60"], timeout=1, timeout_retry=True)
    assert await sandbox.read_file("/tmp/runs") == "once\n"


async def test_too_much_output_is_refused_with_what_there_was(sandbox: Sandbox) -> None:
    with override_sandbox_output_limit(1000, "exec"):
        with pytest.raises(OutputLimitExceededError, match="limit of 1000 bytes") as caught:
            await sandbox.exec(["sh", "-c", "head -c 1001 /dev/zero | tr '\\0' x"])
        assert (await sandbox.exec(["sh", "-c", "head -c 1000 /dev/zero"])).success
    assert caught.value.truncated_output == "x" * 1000


async def test_errors_of_files_have_the_text_and_the_name_that_a_model_is_shown(sandbox: Sandbox) -> None:
    for kind, file, text in (
        (FileNotFoundError, "no/such", "No such file or directory"),
        (IsADirectoryError, "/etc", "Is a directory"),
        (OSError, "/dev/zero", "Invalid argument"),
    ):
        with pytest.raises(kind) as caught:
            await sandbox.read_file(file)
        assert type(caught.value) is kind
        assert (caught.value.strerror, caught.value.filename) == (text, file)
    await sandbox.write_file("bytes", b"\xff\r\n")
    with pytest.raises(UnicodeDecodeError):
        await sandbox.read_file("bytes")
    await sandbox.write_file("text", "a\r\nb\n")
    assert await sandbox.read_file("text") == "a\r\nb\n"


async def test_a_file_that_is_written_keeps_its_mode_and_its_other_names(sandbox: Sandbox) -> None:
    await sandbox.exec(["sh", "-c", "echo old > one; chmod 640 one; ln one two"])
    await sandbox.write_file("one", "new")
    assert (await sandbox.exec(["sh", "-c", "cat two; stat -c ' %a %h' one"])).stdout == "new 640 2\n"


async def test_a_process_is_heard_while_it_runs(sandbox: Sandbox) -> None:
    options = ExecRemoteStreamingOptions(stdin_open=True, env={"WHO": "me"}, input="first\n")
    process = await sandbox.exec_remote(
        ["sh", "-c", "echo $WHO >&2; while read l; do echo got $l; done; exit 3"], options
    )
    events = aiter(process)
    heard = sorted([str(await anext(events)), str(await anext(events))])
    assert heard == [str(ExecStderr(data="me\n")), str(ExecStdout(data="got first\n"))]
    await process.write_stdin("second\n")
    assert await anext(events) == ExecStdout(data="got second\n")
    await process.close_stdin()
    assert [event async for event in _rest(events)] == [ExecCompleted(exit_code=3)]
    with pytest.raises(RuntimeError, match="terminated"):
        await process.write_stdin("third\n")


async def _rest(events: Any) -> Any:
    while True:
        event = await anext(events, None)
        if event is None:
            return
        yield event


async def test_a_process_that_is_killed_has_no_end_and_no_children(sandbox: Sandbox) -> None:
    process = await sandbox.exec_remote(["sh", "-c", "sleep 7654 & echo begun; sleep 7654"])
    assert await anext(aiter(process)) == ExecStdout(data="begun\n")
    await process.kill()
    with pytest.raises(StopAsyncIteration):
        await anext(process)
    assert not (await sandbox.exec(["pgrep", "-f", "sleep 7654"])).stdout


async def test_a_process_that_is_waited_for_gives_a_result(sandbox: Sandbox) -> None:
    result = await sandbox.exec_remote(
        ["sh", "-c", "cat; exit 2"], ExecRemoteAwaitableOptions(input=b"all"), stream=False
    )
    assert (result.returncode, result.stdout) == (2, "all")
    with pytest.raises(TimeoutError):
        await sandbox.exec_remote(["sleep", "7655"], ExecRemoteAwaitableOptions(timeout=0.5), stream=False)
    assert not (await sandbox.exec(["pgrep", "-f", "sleep 7655"])).stdout


async def test_a_process_says_what_characters_its_pieces_cut(sandbox: Sandbox) -> None:
    split = r"printf '\303'; sleep 0.3; printf '\251'; sleep 0.3; printf '\303'"
    heard = [event async for event in await sandbox.exec_remote(["sh", "-c", split])]
    assert "".join(event.data for event in heard[:-1]) == "é\N{REPLACEMENT CHARACTER}"


async def test_who_is_not_root_has_no_other_user_where_the_container_is_his(
    sandboxes: Callable[..., Sandboxes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_fargate_sandbox.adapters.inspect_specs._ROOT", "1000")
    mine = await to_thread.run_sync(lambda: sandboxes(user="1000")["default"])
    with pytest.raises(SandboxUserUnsupportedError, match="takes root"):
        await mine.exec(["id"], user="root")


async def test_a_sandbox_that_is_gone_is_unavailable_and_leads_nobody_in(sandboxes: Callable[..., Sandboxes]) -> None:
    gone = await to_thread.run_sync(lambda: sandboxes()["default"])
    await gone.sandbox.stop()
    for use in (gone.exec(["true"]), gone.read_file("x"), gone.exec_remote(["true"])):
        with pytest.raises(SandboxUnavailableError, match="not running"):
            await use
    with pytest.raises(ConnectionError):
        await gone.connection()

"""The verbs of a session, and its errors."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agents.sandbox.errors import (
    ExecNonZeroError,
    ExecTimeoutError,
    ExecTransportError,
    ExposedPortUnavailableError,
    InvalidManifestPathError,
    WorkspaceArchiveReadError,
    WorkspaceArchiveWriteError,
    WorkspaceReadNotFoundError,
    WorkspaceRootNotFoundError,
    WorkspaceWriteTypeError,
)
from agents.sandbox.types import User
from agents.sandbox.workspace_paths import SandboxPathGrant

from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClientOptions
from tests.adapters.openai_agents.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient

    Run = Callable[..., Any]


@pytest.fixture
def granted(session: Any) -> Any:
    """The same with two directories beside the workspace, of which one is only to be read."""
    grants = (SandboxPathGrant(path="/granted"), SandboxPathGrant(path="/readable", read_only=True))
    before = session.state.manifest
    session.state.manifest = before.model_copy(update={"extra_path_grants": grants})
    yield session
    session.state.manifest = before


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_command_runs_in_the_workspace_and_its_bytes_come_apart(run: Run, session: Any) -> None:
    result = run(session.exec("pwd; printf '\\377' >&2; exit 3"))
    assert (result.stdout, result.stderr, result.exit_code) == (b"/workspace\n", b"\377", 3)


def test_the_environment_is_that_of_the_options_and_the_manifest_s_counts_more(run: Run, session: Any) -> None:
    assert run(session.exec('echo "$FIRST $SECOND"')).stdout == b"option manifest\n"


@pytest.mark.parametrize("user", ["nobody", User(name="nobody")])
def test_a_user_needs_no_sudo_in_the_image(run: Run, session: Any, user: Any) -> None:
    assert run(session.exec("id -un", user=user)).stdout == b"nobody\n"
    with pytest.raises(ExecTransportError, match="no user 'somebody'") as refused:
        run(session.exec("true", user="somebody"))
    assert refused.value.retryable is False


def test_a_command_that_takes_too_long_is_killed_and_says_how_long_it_had(run: Run, session: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ExecTimeoutError) as late:
        run(session.exec("sleep 86397 & sleep 86397", timeout=0.3))
    assert late.value.timeout_s == 0.3
    assert time.monotonic() - began < 10
    assert run(session.exec("pgrep", "-f", "^sleep 86397", shell=False)).exit_code == 1
    with pytest.raises(ExecTimeoutError):
        run(session.exec("sleep 5", timeout=0))
    before = session.state.timeouts
    session.state.timeouts = before.model_copy(update={"exec_s": 1.0})
    with pytest.raises(ExecTimeoutError) as late:
        run(session.exec("sleep 5"))
    assert late.value.timeout_s == 1.0
    session.state.timeouts = before


def test_a_command_that_is_given_up_ends_with_all_that_it_has_started(run: Run, session: Any) -> None:
    async def act() -> None:
        waiting = asyncio.ensure_future(session.exec("sleep 86398 & sleep 86398"))
        while (await session.exec("pgrep", "-f", "^sleep 86398", shell=False)).exit_code:
            await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await session.exec("pgrep", "-f", "^sleep 86398", shell=False)).exit_code == 1

    run(act())


def test_a_program_that_is_not_there_is_a_result(run: Run, session: Any) -> None:
    result = run(session.exec("no-such-program", shell=False))
    assert (result.exit_code, result.stderr) == (127, b"no-such-program: not found\n")


def test_a_workspace_that_is_gone_is_an_error_of_its_own_and_can_be_made_again(run: Run, session: Any) -> None:
    run(session.exec("mv /workspace /elsewhere"))
    try:
        with pytest.raises(WorkspaceRootNotFoundError, match="/workspace"):
            run(session.exec("true"))
        run(session.mkdir("/workspace"))
        assert run(session.exec("pwd")).stdout == b"/workspace\n"
    finally:
        session._inner.sandbox.blocking.exec("rm -rf /workspace; mv /elsewhere /workspace")


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [io.BytesIO(b"\0\377 bytes"), io.StringIO("wörter")])
def test_a_file_is_read_as_it_was_written_and_its_directories_are_made(run: Run, session: Any, payload: Any) -> None:
    said = payload.getvalue()
    run(session.write(Path("a/b/file"), payload))
    with run(session.read(Path("/workspace/a/b/file"))) as file:
        assert file.read() == (said.encode() if isinstance(said, str) else said)


def test_a_large_file_goes_both_ways(run: Run, session: Any) -> None:
    content = os.urandom(5_000_000)
    run(session.write(Path("random"), io.BytesIO(content)))
    assert run(session.read(Path("random"))).read() == content


def test_only_bytes_and_text_are_written(run: Run, session: Any) -> None:
    class Odd(io.BytesIO):
        def read(self, *_: Any) -> Any:
            return [1]

    with pytest.raises(WorkspaceWriteTypeError) as refused:
        run(session.write(Path("odd"), Odd()))
    assert refused.value.context["actual_type"] == "list"


def test_what_cannot_be_read_or_written_says_why(run: Run, session: Any) -> None:
    run(session.exec("mkdir -p directory && echo secret > private && chmod 600 private"))
    with pytest.raises(WorkspaceReadNotFoundError):
        run(session.read(Path("nowhere")))
    for path, user, reason in (("directory", None, "is_directory"), ("private", "nobody", "permission")):
        with pytest.raises(WorkspaceArchiveReadError) as unread:
            run(session.read(Path(path), user=user))
        assert unread.value.context["reason"] == reason
        assert unread.value.retryable is False
        with pytest.raises(WorkspaceArchiveWriteError) as unwritten:
            run(session.write(Path(path), io.BytesIO(b"x"), user=user))
        assert unwritten.value.context["reason"] == reason


def test_the_beginning_of_a_file_is_read_without_the_rest(run: Run, session: Any) -> None:
    run(session.exec("head -c 3000000 /dev/zero > large"))
    assert run(session.read_bounded(Path("large"), max_bytes=1_000_000)) == bytes(1_000_000)
    assert run(session.read_bounded(Path("large"), max_bytes=4_000_000)) == bytes(3_000_000)
    with pytest.raises(WorkspaceReadNotFoundError):
        run(session.read_bounded(Path("nowhere"), max_bytes=1))


def test_directories_are_made_with_their_parents_where_that_is_wished(run: Run, session: Any) -> None:
    run(session.mkdir("tree/of/some", parents=True, user="root"))
    run(session.mkdir("tree/of/others"))
    run(session.mkdir("/workspace"))
    assert run(session.exec("ls tree/of")).stdout == b"others\nsome\n"
    for path in ("no/parent", "taken"):
        run(session.exec("touch taken"))
        with pytest.raises(WorkspaceArchiveWriteError) as failed:
            run(session.mkdir(path))
        assert failed.value.context["detail"] == "mkdir_failed"


def test_files_are_listed_moved_compared_and_removed(run: Run, session: Any) -> None:
    run(session.exec("mkdir here && echo one > here/one && ln -s one here/link"))
    run(session.mv("here/one", "here/two"))
    assert {Path(entry.path).name for entry in run(session.ls("here"))} == {"link", "two"}
    assert run(session.same_file("here/two", "here/two"))
    run(session.rm("here", recursive=True))
    with pytest.raises(ExecNonZeroError):
        run(session.ls("here"))


# --- where paths lead ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "link-out/passwd"])
def test_no_path_leads_out_of_the_workspace(run: Run, session: Any, path: str) -> None:
    run(session.exec("ln -sfn /etc link-out"))
    for act in (session.read, session.ls, session.rm, session.mkdir):
        with pytest.raises(InvalidManifestPathError):
            run(act(path))
    with pytest.raises(InvalidManifestPathError):
        run(session.write(Path(path), io.BytesIO(b"x")))


def test_a_link_that_stays_inside_is_followed(run: Run, session: Any) -> None:
    run(session.exec("echo inside > target && ln -sf target link-in"))
    assert run(session.read(Path("link-in"))).read() == b"inside\n"


def test_what_is_granted_beside_the_workspace_is_read_and_written_as_granted(run: Run, granted: Any) -> None:
    run(granted.exec("mkdir -p /granted /readable && echo there > /readable/file && ln -sfn /readable to-readable"))
    run(granted.write(Path("/granted/file"), io.BytesIO(b"x")))
    assert run(granted.read(Path("/readable/file"))).read() == b"there\n"
    for path in ("/readable/new", "to-readable/new"):
        with pytest.raises(WorkspaceArchiveWriteError) as refused:
            run(granted.write(Path(path), io.BytesIO(b"x")))
        assert refused.value.context["reason"] == "read_only_extra_path_grant"
        with pytest.raises(WorkspaceArchiveWriteError):
            run(granted.mkdir(path))


# --- ports and health ------------------------------------------------------------------------------------------------


def test_a_port_leads_here_from_loopback_and_one_that_was_not_named_does_not(run: Run, session: Any) -> None:
    run(session.exec("python3 -m http.server 8080 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 0.5"))
    found = run(session.resolve_exposed_port(8080))
    assert (found.host, found.tls, found.query) == ("127.0.0.1", False, "")
    with socket.create_connection((found.host, found.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 200")
    assert run(session.resolve_exposed_port(8080)) == found
    with pytest.raises(ExposedPortUnavailableError) as refused:
        run(session.resolve_exposed_port(8081))
    assert refused.value.context["reason"] == "not_configured"


def test_who_runs_says_so(run: Run, session: Any) -> None:
    assert run(session.running())
    assert session.supports_pty()


def test_a_task_that_stands_still_is_not_running_and_that_is_known_within_ten_seconds(
    run: Run, client: FargateSandboxClient, alive: Callable[[], set[str]]
) -> None:
    made = run(client.create(options=FargateSandboxClientOptions()))
    run(made.start())
    with frozen(made):
        began = time.monotonic()
        assert not run(made.running())
        assert time.monotonic() - began < 10
    run(client.delete(made))
    assert not run(made.running())
    assert not alive()

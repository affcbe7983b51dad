"""The server on every Python at hand, from the oldest that it promises to the newest."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import chain, cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import conformance
from pytest_fargate_sandbox.conformance import BEHAVIOURS, Behaviour
from pytest_fargate_sandbox.sandbox.workspace_artifacts import WorkspaceArtifacts
from pytest_fargate_sandbox.server import bundle, protocol
from pytest_fargate_sandbox.server.requests.http1 import request_head
from tests.exec_server_process import ExecServerProcess, LoopbackSandbox, hold_a_terminal
from tests.server.behaviours import behaviours_of
from tests.server.interpreters import interpreters, oldest_and_newest

if TYPE_CHECKING:
    from collections.abc import Iterator

CORE = (
    "a_command_killed_by_a_signal_has_128_plus_its_number",
    "a_missing_program_has_the_shells_code",
    "every_byte_comes_back_as_it_was",
    "stdin_takes_text_and_bytes",
    "a_large_stdin_streams",
    "the_environment_takes_newlines_and_quotes",
    "a_command_runs_where_it_is_told",
    "a_command_can_run_as_another_user",
    "an_unknown_user_is_an_error",
    "a_very_long_command_works",
    "a_time_out_kills_what_left_its_session",
    "a_spawned_process_can_be_talked_to",
    "mode_and_time_travel_with_a_file",
    "names_may_be_odd",
    "a_directory_goes_there_and_back",
    "a_link_out_of_the_tree_is_refused_and_nothing_changes",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In a short run the core holds on the oldest, and each behaviour of it on one of the others, as they are dealt.

    What is learnt has less to do with the version: there the oldest and the newest do.
    """
    if "server" not in metafunc.fixturenames:
        return
    oldest, *others = interpreters()
    everything = metafunc.config.getoption("soak")
    if "behaviour" not in metafunc.fixturenames:
        is_learnt = "sandbox" in metafunc.fixturenames and not everything
        metafunc.parametrize("server", oldest_and_newest() if is_learnt else [oldest, *others], indirect=True)
        return
    core = [check for check in BEHAVIOURS if check.name in CORE]
    if everything:
        tried = [(version, check) for version in (oldest, *others) for check in core]
    else:
        dealt = sorted(zip(cycle(others), core), key=lambda each: others.index(each[0]))
        tried = [*((oldest, check) for check in core), *dealt]
    metafunc.parametrize(("server", "behaviour"), tried, indirect=["server"], ids=str)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    server = ExecServerProcess(tmp_path_factory.mktemp("server"), interpreters()[request.param])
    yield server
    server.close()


@pytest.fixture
def sandbox(server: ExecServerProcess) -> LoopbackSandbox:
    return LoopbackSandbox(server.client)


def test_the_core_of_the_list_holds_on(sandbox: LoopbackSandbox, behaviour: Behaviour) -> None:
    behaviour(sandbox)


def test_terminals_work_on(sandbox: LoopbackSandbox) -> None:
    hold_a_terminal(sandbox.client)


def test_it_learns_of_artifacts_on(sandbox: LoopbackSandbox) -> None:
    sandbox.exec("mkdir -p found/deep; echo x >found/deep/file; ln -s deep/file found/link", check=True)
    artifacts = WorkspaceArtifacts(lambda act: act(sandbox.client))
    assert [each.path for each in artifacts.list("found", recursive=True)] == [
        "found/deep", "found/link", "found/deep/file",
    ]  # fmt: skip
    assert artifacts.read("found/link").content == "x\n"
    assert artifacts.archive("found", io.BytesIO()).entry_count == 3


def test_the_whole_list_holds_on_the_oldest(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """As on the newest, in test_conformance.py."""
    server = ExecServerProcess(tmp_path, next(iter(interpreters().values())))
    try:
        LoopbackSandbox(server.client).hold_to(check for check in behaviours_of(pytestconfig) if check.name not in CORE)
    finally:
        server.close()


def test_json_nested_without_end_is_refused(server: ExecServerProcess) -> None:
    """It took the whole server down where threads had small stacks."""
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 3000 + b"]" * 3000):
        with server.connect() as connection:
            connection.sendall(request_head(f"{protocol.PREFIX}run", server.token, len(body)) + body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert server.client.exec("echo alive").stdout == "alive\n"


def test_the_shipped_modules_use_nothing_newer_than_python_3_6() -> None:
    server = Path(bundle.__file__).parent
    shipped = (*bundle.SHIPPED_MODULES, *chain(*(lesson.modules for lesson in bundle.LESSONS.values())), "loader")
    modules = [str(server / (module.replace(".", "/") + ".py")) for module in shipped]
    vermin = [sys.executable, "-c", "import vermin; vermin.main()", "--processes=1", "--no-parse-comments"]
    command = [*vermin, "-t=3.6-", "--violations", "--no-tips", *modules]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_core_behaviour_exists() -> None:
    assert set(CORE) <= {check.name for check in conformance.BEHAVIOURS}

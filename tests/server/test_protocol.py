"""What the two ends say to each other is of one version, and who speaks another is told so."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.server import protocol, terminal_protocol
from pytest_fargate_sandbox.server.files import file_protocol, path_protocol
from pytest_fargate_sandbox.server.message import Message
from tests.exec_server_process import ExecServerProcess, altered_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

SHAPES = {12: 1467417575}
"""Of the newest version, all that can be said. A kept task is entered by whatever version comes later."""

ACTS: dict[str, Callable[[ExecClient], object]] = {
    "exec": lambda client: client.exec("true"),
    "exec with much stdin": lambda client: client.exec("cat", stdin=bytes(1_000_000)),
    "spawn": lambda client: client.spawn("true"),
    "upload": lambda client: client.write_file("/tmp/x", "x"),
    "download": lambda client: client.read_file("/etc/passwd"),
    "list": lambda client: client.list_files("/"),
}


def shape() -> int:
    messages = [
        each
        for each in {**vars(protocol), **vars(file_protocol), **vars(path_protocol), **vars(terminal_protocol)}.values()
        if isinstance(each, type) and issubclass(each, Message)
    ]
    fields = {f"{each.VERB} {each.__name__}": sorted(each.FIELDS.items()) for each in messages}
    return zlib.crc32(re.sub(r"<[\w.]*_Required[^>]*>", "required", repr(sorted(fields.items()))).encode())


def test_who_changes_a_message_changes_the_version() -> None:
    assert {protocol.VERSION: shape()} == SHAPES, "one more in protocol.VERSION, and what is said now in SHAPES"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server that was started by the version before this one."""
    with altered_source(VERSION=protocol.VERSION - 1):
        server = ExecServerProcess(tmp_path_factory.mktemp("exec-server"))
    yield server
    server.close()


@pytest.mark.parametrize("act", ACTS)
def test_a_server_of_another_version_is_told_in_a_sentence(older: ExecServerProcess, act: str) -> None:
    assert older.client.health()
    with pytest.raises(SandboxError, match=r"another version of pytest-fargate-sandbox.*start a new sandbox"):
        ACTS[act](older.client)

"""An upload that comes twice, since the connection of the first attempt broke, and what of it lands."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.requests.http1 import (
    Payload,
    Reader,
    chunk,
    last_chunk,
    open_body,
    read_answer_head,
    request_head,
)
from tests.exec_server_process import ExecServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.server.message import Message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    server = ExecServerProcess(tmp_path_factory.mktemp("exec-server"))
    server.client.teach("files.file_verbs")
    yield server
    server.close()


class Attempt:
    """One request with a payload; ``finish`` sends its last bytes, by which the server knows that it has all of it."""

    def __init__(self, server: ExecServerProcess, request: Message, payload: bytes) -> None:
        self._digest = hashlib.sha256(payload).hexdigest()
        self._socket = server.connect()
        head = request_head(protocol.PREFIX + request.VERB, server.token, None)
        self._socket.sendall(head + chunk(request.to_json()) + chunk(payload))

    def finish(self) -> int:
        """The status of the answer."""
        self._socket.sendall(last_chunk({protocol.DIGEST_TRAILER: self._digest}))
        reader = Reader(self._socket.recv)
        head = read_answer_head(reader)
        Payload(open_body(reader, head.fields)).read_all(1 << 20)
        self._socket.close()
        return head.status


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_tree_that_comes_twice_lands_once_whichever_is_first(server: ExecServerProcess, tmp_path: Path) -> None:
    request = file_protocol.WriteTree(id=file_protocol.new_upload_id(), path=f"{tmp_path}/tree")
    first = Attempt(server, request, tar_of(name=b"sent"))
    second = Attempt(server, request, tar_of(name=b"sent"))
    assert second.finish() == 200
    (tmp_path / "tree" / "name").write_bytes(b"changed since")
    assert first.finish() == 200
    assert (tmp_path / "tree" / "name").read_bytes() == b"changed since"
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_a_file_that_comes_twice_lands_once(server: ExecServerProcess, tmp_path: Path) -> None:
    request = file_protocol.WriteFile(id=file_protocol.new_upload_id(), path=f"{tmp_path}/file")
    first, second = (Attempt(server, request, b"sent") for _ in range(2))
    assert second.finish() == 200
    (tmp_path / "file").unlink()
    assert first.finish() == 200
    assert not list(tmp_path.iterdir())


def test_what_has_landed_is_not_unpacked_again(server: ExecServerProcess, tmp_path: Path) -> None:
    request = file_protocol.WriteTree(id=file_protocol.new_upload_id(), path=f"{tmp_path}/tree")
    assert Attempt(server, request, tar_of(name=b"sent")).finish() == 200
    (tmp_path / "tree" / "name").unlink()
    assert Attempt(server, request, tar_of(name=b"sent")).finish() == 200
    assert not list((tmp_path / "tree").iterdir())


def test_an_attempt_that_failed_has_not_landed(server: ExecServerProcess, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "name").mkdir()
    request = file_protocol.WriteTree(id=file_protocol.new_upload_id(), path=f"{tmp_path}/tree")
    assert Attempt(server, request, tar_of(name=b"sent")).finish() == 409
    (tmp_path / "tree" / "name").rmdir()
    assert Attempt(server, request, tar_of(name=b"sent")).finish() == 200
    assert (tmp_path / "tree" / "name").read_bytes() == b"sent"


def test_two_trees_that_make_the_same_directory_are_merged(server: ExecServerProcess, tmp_path: Path) -> None:
    attempts = [
        Attempt(server, file_protocol.WriteTree(path=f"{tmp_path}/tree"), tar_of(**{name: name.encode()}))
        for name in ("one", "two")
    ]
    assert [attempt.finish() for attempt in attempts] == [200, 200]
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["one", "two"]
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]

"""What the sandbox gets for itself, from a real HTTP server."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import RemoteFileError, UnsafeArchiveError
from tests.free_ports import free_port
from tests.own_ca import OwnCa

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

SECRET = "X-Amz-Signature=5ecret"


class Store:
    """A directory served over HTTP."""

    def __init__(self, directory: Path, tls: ssl.SSLContext | None = None) -> None:
        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

        self._directory = directory
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(directory)))
        self._scheme = "https" if tls else "http"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def put(self, name: str, content: bytes) -> tuple[str, str]:
        """Its URL and its digest."""
        (self._directory / name).write_bytes(content)
        return self.url(name), hashlib.sha256(content).hexdigest()

    def url(self, name: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server.server_address[1]}/{name}?{SECRET}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "sandbox").mkdir()
    return tmp_path / "sandbox"


def tar_of(**contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_file_is_fetched_with_its_mode(client: ExecClient, store: Store, target: Path) -> None:
    content = b"content" * 200_000
    url, digest = store.put("file", content)
    client.fetch(url, f"{target}/sub/file", sha256=digest, mode=0o750)
    assert (target / "sub/file").read_bytes() == content
    assert (target / "sub/file").stat().st_mode & 0o777 == 0o750


def test_a_tree_is_fetched_and_merged(client: ExecClient, store: Store, target: Path) -> None:
    (target / "tree").mkdir()
    (target / "tree/kept").write_text("kept")
    url, digest = store.put("tree.tar", tar_of(a=b"1", sub__b=b"2"))
    client.fetch(url, f"{target}/tree", sha256=digest, unpack=True)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == [
        "tree/a",
        "tree/kept",
        "tree/sub/b",
    ]


@pytest.mark.parametrize("unpack", [False, True])
def test_what_is_not_what_was_staged_changes_nothing(
    client: ExecClient, store: Store, target: Path, unpack: bool
) -> None:
    url, _ = store.put("wrong", tar_of(a=b"1"))
    with pytest.raises(RemoteFileError, match="not what was staged"):
        client.fetch(url, f"{target}/out", sha256="0" * 64, unpack=unpack)
    assert list(target.iterdir()) == []


def test_an_archive_that_wants_out_is_refused(client: ExecClient, store: Store, target: Path) -> None:
    url, digest = store.put("evil", tar_of(aaa=b"1", **{"..__evil": b"2"}))
    with pytest.raises(UnsafeArchiveError):
        client.fetch(url, f"{target}/out", sha256=digest, unpack=True)
    assert list(target.iterdir()) == []


def test_a_place_out_of_reach_is_told_without_the_signature(client: ExecClient, store: Store, target: Path) -> None:
    for url in (store.url("missing"), f"http://127.0.0.1:{free_port()}/nobody?{SECRET}", f"http://[bad/?{SECRET}"):
        with pytest.raises(RemoteFileError) as caught:
            client.fetch(url, f"{target}/out", sha256="0" * 64)
        assert "5ecret" not in str(caught.value)
    assert list(target.iterdir()) == []


def test_a_target_that_cannot_be_written_is_told_as_such(client: ExecClient, store: Store, target: Path) -> None:
    url, digest = store.put("file", b"content")
    with pytest.raises(IsADirectoryError):
        client.fetch(url, str(target), sha256=digest)


def test_a_certificate_that_the_image_does_not_know_is_known_by_what_comes_with_the_request(
    client: ExecClient, tmp_path: Path, target: Path
) -> None:
    ca = OwnCa()
    (tmp_path / "secure").mkdir()
    store = Store(tmp_path / "secure", ca.context(tmp_path))
    try:
        url, digest = store.put("file", b"content")
        for others in ("", OwnCa().root):
            with pytest.raises(RemoteFileError, match="CERTIFICATE_VERIFY_FAILED"):
                client.fetch(url, f"{target}/file", sha256=digest, roots=others)
        client.fetch(url, f"{target}/file", sha256=digest, roots=ca.root)
    finally:
        store.close()
    assert (target / "file").read_bytes() == b"content"

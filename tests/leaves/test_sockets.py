"""Where sockets stand."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.sockets import address_of, with_last_words

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform != "linux", reason="where there is no way by a directory's descriptor")
def test_a_path_longer_than_the_kernel_takes_leads_to_its_socket(tmp_path: Path) -> None:
    directory = tmp_path / ("deep" * 30)
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as visitor:
        with pytest.raises(OSError, match="too long"):
            listener.bind(str(directory / "1.sock"))
        with address_of(directory / "1.sock") as address:
            listener.bind(address)
        listener.listen()
        with address_of(directory / "1.sock") as address:
            visitor.connect(address)
        assert (directory / "1.sock").is_socket()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_what_an_end_said_last_is_heard_though_it_had_not_read_all(kind: int) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, kind)
    with here:
        here.send(b"not read")
        there.send(b"last words")
        there.close()
        assert with_last_words(lambda: here.recv(100)) == b"last words"
        assert with_last_words(lambda: here.recv(100)) == b""

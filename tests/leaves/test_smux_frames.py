from __future__ import annotations

import random

import pytest

from pytest_fargate_sandbox.leaves.smux_frames import Command, Frame, FrameReader, MalformedFrame, encode


def test_a_frame_lies_in_memory_as_smux_has_it() -> None:
    assert encode(Command.SYN, 3) == bytes.fromhex("01 00 0000 03000000")
    assert encode(Command.PSH, 0x01020304, b"abc") == bytes.fromhex("01 02 0300 04030201") + b"abc"
    assert encode(Command.PSH, 3, bytes(65535))[2:4] == b"\xff\xff"


def test_frames_are_found_wherever_the_pieces_end() -> None:
    frames = [
        Frame(Command.SYN, 3),
        Frame(Command.PSH, 3, b"hello"),
        Frame(Command.NOP, 0),
        Frame(Command.PSH, 5, bytes(range(256)) * 255),
        Frame(Command.FIN, 3),
    ]
    whole = b"".join(encode(*frame) for frame in frames)
    dice = random.Random(2)
    for _ in range(20):
        reader, got, rest = FrameReader(), [], whole
        while rest:
            size = dice.choice((1, 2, 7, 8, 9, 1024, 40000))
            got += reader.feed(rest[:size])
            rest = rest[size:]
        assert got == frames


@pytest.mark.parametrize("head", ["02 00 0000 03000000", "00 00 0000 03000000", "01 04 0000 03000000"])
def test_another_version_and_an_unknown_command_break_the_session(head: str) -> None:
    with pytest.raises(MalformedFrame):
        FrameReader().feed(encode(Command.SYN, 3) + bytes.fromhex(head))

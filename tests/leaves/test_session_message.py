from __future__ import annotations

import hashlib
import random
import struct
import time
import uuid

import pytest

from pytest_fargate_sandbox.leaves.session_message import (
    ACKNOWLEDGE,
    INPUT,
    OUTPUT,
    Flag,
    MalformedMessage,
    PayloadType,
    SessionMessage,
    acknowledged_sequence,
    acknowledgement,
    content_of,
    decode,
    encode,
    flag_of,
    flag_payload,
    stream_message,
)

_ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


def test_a_message_lies_in_memory_as_the_real_ends_have_it() -> None:
    frame = encode(SessionMessage(INPUT, b"hello", PayloadType.DATA, sequence=7, flags=1, id=_ID, created_ms=1234))
    assert frame[0:4] == (116).to_bytes(4, "big")
    assert frame[4:36] == b"input_stream_data               "
    assert frame[36:40] == b"\0\0\0\1"
    assert frame[40:48] == (1234).to_bytes(8, "big")
    assert frame[48:56] == (7).to_bytes(8, "big")
    assert frame[56:64] == (1).to_bytes(8, "big")
    assert frame[64:80].hex() == "8899aabbccddeeff" + "0011223344556677"
    assert frame[80:112] == hashlib.sha256(b"hello").digest()
    assert frame[112:116] == b"\0\0\0\1"
    assert frame[116:] == b"\0\0\0\5hello"


def test_what_was_encoded_is_decoded() -> None:
    sent = stream_message(OUTPUT, 0, PayloadType.HANDSHAKE_REQUEST, b"{}")
    got = decode(encode(sent))
    assert got == sent._replace(digest=got.digest)
    assert got.is_intact
    assert got.flags == 1
    assert abs(got.created_ms / 1000 - time.time()) < 60
    assert stream_message(OUTPUT, 1, PayloadType.DATA, b"").flags == 0
    assert stream_message(INPUT, 0, PayloadType.DATA, b"").flags == 0


def test_a_type_may_be_padded_with_zeros_and_a_header_be_longer() -> None:
    frame = encode(stream_message(OUTPUT, 3, PayloadType.DATA, b"x"))
    padded = frame[:4] + b"output_stream_data".ljust(32, b"\0") + frame[36:]
    assert decode(padded).type == OUTPUT
    longer = struct.pack(">I", 120) + frame[4:116] + b"more" + frame[116:]
    assert decode(longer).payload == b"x"


def test_a_payload_that_was_changed_is_not_intact_and_one_without_digest_is() -> None:
    frame = encode(stream_message(OUTPUT, 0, PayloadType.DATA, b"abc"))
    assert not decode(frame[:-1] + b"X").is_intact
    assert decode(frame[:80] + bytes(32) + frame[112:-1] + b"X").is_intact


def test_an_acknowledgement_names_the_message_that_it_answers() -> None:
    message = stream_message(INPUT, 41, PayloadType.DATA, b"x")
    answer = decode(encode(acknowledgement(message)))
    assert (answer.type, answer.flags, answer.sequence, answer.payload_type) == (ACKNOWLEDGE, 3, 0, 0)
    assert acknowledged_sequence(answer) == 41
    assert content_of(answer) == {
        "AcknowledgedMessageType": INPUT,
        "AcknowledgedMessageId": str(message.id),
        "AcknowledgedMessageSequenceNumber": 41,
        "IsSequentialMessage": True,
    }


def test_a_flag_is_four_bytes() -> None:
    message = stream_message(OUTPUT, 5, PayloadType.FLAG, flag_payload(Flag.CONNECT_TO_PORT_ERROR))
    assert message.payload == b"\0\0\0\3"
    assert flag_of(message) == Flag.CONNECT_TO_PORT_ERROR
    with pytest.raises(MalformedMessage, match="a flag of 3 bytes"):
        flag_of(message._replace(payload=b"abc"))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b"\xff", b'{"AcknowledgedMessageSequenceNumber": "1"}', b"[" * 99999]
)
def test_an_acknowledgement_of_nothing_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        acknowledged_sequence(SessionMessage(ACKNOWLEDGE, payload))


def test_garbage_is_malformed_and_nothing_else() -> None:
    frame = encode(stream_message(OUTPUT, 3, PayloadType.DATA, b"payload"))
    dice = random.Random(1)
    for _ in range(3000):
        mutant = bytearray(frame[: dice.randrange(len(frame) + 1)] if dice.random() < 0.5 else frame)
        for _ in range(dice.randrange(6)):
            if mutant:
                mutant[dice.randrange(len(mutant))] = dice.randrange(256)
        try:
            decode(bytes(mutant))
        except MalformedMessage:
            pass
    for size in (0, 115, 118, 127, 2**32 - 1):
        with pytest.raises(MalformedMessage):
            decode(struct.pack(">I", size) + frame[4:])

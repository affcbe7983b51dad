"""What is a reward and what is none."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.tasks import reward


@pytest.mark.parametrize(
    ("as_json", "as_text", "value"),
    [
        (None, b"1\n", 1.0),
        (None, b" 0.25 ", 0.25),
        (None, b"1e-1", 0.1),
        (b'{"reward": 0.5, "tests": 12}', b"1", 0.5),
        (b"1", None, 1.0),
        (b'{"speed": 1, "memory": 0.5}', None, 0.5),
    ],
)
def test_a_number_from_0_to_1_is_one(as_json: bytes | None, as_text: bytes | None, value: float) -> None:
    assert reward.from_files(as_json, as_text).value == value


@pytest.mark.parametrize(
    ("as_json", "as_text", "sentence"),
    [
        (None, None, "the verifier left no reward: neither reward.json nor reward.txt is in /logs/verifier"),
        (None, b"", "reward.txt is empty"),
        (None, b"nan", "reward.txt has 'nan': expected a number from 0 to 1"),
        (None, b"inf", "reward.txt has 'inf'"),
        (None, b"2", "reward.txt is 2.0: expected a number from 0 to 1"),
        (None, b"-0.1", "reward.txt is -0.1"),
        (None, b'"yes"', "reward.txt has '\"yes\"'"),
        (None, b"1_0", "reward.txt has '1_0'"),
        (None, b"\xff\xfe1", "reward.txt has"),
        (None, b"1" * 70_000, "reward.txt has more than 65536 bytes"),
        (b"{", b"1", "reward.json has '{': it is no JSON"),
        (b"[" * 60_000, None, "it is no JSON"),
        (b"{}", None, "reward.json has no reward in it"),
        (b"[1]", None, "reward.json has 'reward' is [1]: expected a number"),
        (b'{"reward": "1"}', None, "'reward' is '1': expected a number"),
        (b'{"reward": true}', None, "'reward' is True: expected a number"),
        (b'{"reward": NaN}', None, "'reward' is nan: expected a number"),
        (b'{"reward": 1e999}', None, "'reward' is inf: expected a number"),
        (b'{"reward": %s}' % (b"9" * 4000), None, "expected a number from 0 to 1"),
        (b'{"reward": 1, "time": null}', None, "'time' is None: expected a number"),
        (b'{"speed": 7}', None, "'speed' is 7: expected a number from 0 to 1"),
    ],
)
def test_anything_else_is_none_and_says_why(as_json: bytes | None, as_text: bytes | None, sentence: str) -> None:
    with pytest.raises(reward.NotAReward) as met:
        reward.from_files(as_json, as_text)
    assert sentence in str(met.value)
    assert len(str(met.value)) < 300
